// Follows Airflow's theme. A classic script in the head, so that the first paint already has it.
"use strict";
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme"); // where Airflow's UI keeps it: light, dark or system
    } catch {
      // A browser may keep storage from frames.
    }
    const isDark = chosen === "dark" || (chosen !== "light" && system.matches);
    document.documentElement.classList.toggle("dark", isDark);
  };
  follow();
  system.addEventListener("change", follow);
  addEventListener("storage", follow); // the user has switched the theme in the surrounding page
}
