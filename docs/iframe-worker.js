// A browser starts no worker from a folder, and search is one. There, a hidden frame does as the worker.
// The name tells Material's plugin `offline` to fetch none from elsewhere.

if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.inside.document.open(); // or some browsers replace the empty page once more
      this.inside.document.write("<body>");
      this.inside.document.close();
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const element = this.inside.document.createElement("script");
      element.src = script;
      this.isReady = new Promise((ready) => element.addEventListener("load", ready));
      this.inside.document.body.append(element);
    }

    async postMessage(data) {
      await this.isReady;
      this.inside.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
