// What is refused is told on the page, once, and above an opened picture too. Of the server's refusals Gradio leaves two kinds out: the error of an event without a queue,
// whose toast it makes invisible, and a refusal in plain words by the gate or a proxy, which it "could not parse".
window.sugarErrors = {
  trigger: null,      // of the component #status (status.py): its event "error" is Gradio's own toast
  waiting: [],        // what was told before the page stood
  failing: new Set(), // timers whose last tick failed
  words: { refused: "{status}" },

  ready(trigger, words) {
    this.trigger = trigger;
    this.words = words;
    this.waiting.splice(0).forEach((told) => this.tell(...told));
  },
  escape: (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;"),
  // text: as markup. A number of a fault is no difference.
  tell(text, kind = "error") {
    if (!this.trigger) return this.waiting.push([text, kind]);
    const read = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent;
    const gist = (said) => said.replace(/\b[0-9a-f]{6}\b/g, "").replace(/\s+/g, " ").trim();
    const standing = [...document.querySelectorAll("[data-testid=toast-text]")].map((toast) => gist(toast.textContent));
    if (standing.includes(gist(read(text)))) return;
    this.trigger(kind, text);
  },

  // What an answer says, as markup, and whether it is to be seen.
  async said(answer) {
    const type = answer.headers.get("content-type") ?? "", text = await answer.text();
    if (type.includes("json")) {
      const { error, detail, visible } = JSON.parse(text);
      return { text: error ?? detail, visible };
    }
    if (type.startsWith("text/plain")) return { text: this.escape(text) };
    return { text: this.words.refused.replace("{status}", answer.status) };
  },
  // An answer to an event, as Gradio is to read it.
  async heard(answer, queued, body) {
    const { fn_index } = JSON.parse(body);
    if (answer.ok) {
      this.failing.delete(fn_index);
      return answer;
    }
    const { text, visible } = await this.said(answer.clone());
    if (!queued && visible !== false && !this.failing.has(fn_index)) {
      const event = window.gradio_config?.dependencies.find((one) => one.id === fn_index);
      if (event?.targets.some(([, name]) => name === "tick")) this.failing.add(fn_index);
      this.tell(text);
    }
    return new Response(JSON.stringify({ error: text, detail: text }), { status: answer.status });
  },
};

(() => {
  const ask = window.fetch.bind(window);
  window.fetch = async (where, how) => {
    const path = how?.method === "POST" ? new URL(where, document.baseURI).pathname : "";
    const upload = /\/gradio_api\/upload\/?$/.test(path), over = () => document.dispatchEvent(new Event("sugar-upload-failed"));
    const answer = await ask(where, how).catch((lost) => {
      if (upload) over();
      throw lost;
    });
    if (upload && !answer.ok) over(); // the component tells of it
    const event = path.match(/\/gradio_api\/(?:run\/[^/]*|(queue)\/join)\/?$/);
    return event ? sugarErrors.heard(answer, event[1] === "queue", how.body) : answer;
  };

  // An opened picture lies above the page: a toast that comes goes above it.
  new MutationObserver((changes) => {
    if (!changes.some(({ target, addedNodes }) => addedNodes.length && target.closest?.(".toast-wrap"))) return;
    const wrap = document.querySelector(".toast-wrap");
    wrap.popover = "manual";
    if (wrap.matches(":popover-open")) wrap.hidePopover();
    if (document.querySelector("dialog:modal, .sugar-dialog:popover-open")) wrap.showPopover();
  }).observe(document, { childList: true, subtree: true });
})();
