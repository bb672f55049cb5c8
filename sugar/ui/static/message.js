const messageBox = {
  runs: new Set(),    // names of the runs under way
  before: null,       // how many questions stood in the conversation when the message on its way left the box
  calling: false,     // the server was told to stop and has not answered yet
  next: null,         // what to do when nothing is under way: a button to press, and the text that is held for it

  text: () => document.querySelector("#message textarea"),
  asked: (talk) => (talk ?? []).filter((m) => m.role === "user").length,
  waits(talk) { return this.before !== null && this.asked(talk) <= this.before; },
  busy(talk) { return this.runs.size > 0 || this.calling || this.waits(talk); },
  look: (busy, value) => ({ __type__: "update", submit_btn: !busy, stop_btn: busy, ...(value && { value }) }),
  press: (button) => document.querySelector(button).click(),

  wait(next) {
    this.next = next;
    document.querySelector("#message").toggleAttribute("data-held", next?.text !== undefined);
  },

  send(message, talk) {
    if (!message?.text?.trim() && !message?.files?.length) {
      this.text().focus();
      throw new Error("empty");
    }
    if (this.busy(talk)) {
      this.wait({ button: "#send-again", text: this.text().value });
      throw new Error("later");
    }
    this.before = this.asked(talk);
    this.begin("send");
    const leaves = { text: this.text().value, files: [...(message.files ?? [])] };
    this.clear(leaves.files.length);
    return [leaves, this.look(true)];
  },
  clear(files) {
    this.text().value = "";
    this.text().dispatchEvent(new Event("input", { bubbles: true }));
    const removes = [...document.querySelectorAll("#message .delete-button")].slice(0, files);
    removes.reverse().forEach((button) => button.click());
  },
  typed() { if (this.next?.text !== undefined) this.wait(null); },
  first(button, talk) {
    if (!this.busy(talk)) return;
    this.wait({ button });
    this.press("#stop-now");
    throw new Error("later");
  },
  stop(talk) {
    if (this.calling) throw new Error("stopping");
    if (this.waits(talk) || !document.querySelector("#message .stop-button")) {
      this.press("#unsend");
      throw new Error("nothing began");
    }
    this.calling = true;
  },
  stopped() { this.calling = false; this.rest(); },

  begin(name) { this.runs.add(name); },
  end(name, failed, sent, talk, now) {
    const last = [...this.runs].every((run) => run === name);
    const value = name === "send" && this.waits(talk) && failed ? this.back(sent, now) : null;
    if (name === "send" && (failed || !this.waits(talk))) this.before = null;
    return this.look(!last, value);
  },
  back(sent, now) {
    const [before, since] = [sent?.files ?? [], now?.files ?? []];
    const text = now?.text?.replace(/\[(\d+)\]/g, (mark, n) => (n <= since.length ? `[${+n + before.length}]` : mark));
    return { text: [sent?.text, text].filter((words) => words?.trim()).join("\n"), files: [...before, ...since] };
  },
  over(name) { this.runs.delete(name); this.rest(); },
  rest() {
    if (this.runs.size || this.calling || !this.next) return;
    const { button, text } = this.next;
    this.wait(null);
    if (text === undefined || text === this.text().value) this.press(button);
  },
};
document.addEventListener("input", (event) => { if (event.target.closest("#message")) messageBox.typed(); });
