// Adding pictures to the gallery: what is dropped anywhere on its tab or pasted there is sent a part at a time, so that a
// folder of thousands can be sent; after the last part a hidden button begins the work.
const sugarAdding = {
  part: 20, // files of one request
  waiting: [],
  total: 0,
  texts: /\.(txt|csv|tsv|jsonl|json)$/i, // captions that come with pictures

  line: () => document.querySelector("#gallery-sending p"),
  shown: () => document.querySelector("#wall")?.offsetParent != null,

  add(files) {
    if (!files.length) return;
    const busy = this.total > 0;
    this.waiting.push(...files);
    this.total += files.length;
    if (!busy) this.send();
  },
  send() {
    const part = this.waiting.splice(0, this.part);
    this.line().textContent = `${this.total - this.waiting.length} / ${this.total}`;
    sugarFiles.give("#gallery-files", part);
  },
  // A part has come, or what was chosen with the button.
  next() {
    if (this.waiting.length) this.send();
    else this.over();
  },
  // A part was refused: the rest is not sent.
  stop() {
    const came = this.total - this.waiting.length > this.part;
    this.waiting = [];
    if (came) this.over();
    else this.end();
  },
  over() {
    this.end();
    document.querySelector("#gallery-add").click();
  },
  end() {
    this.total = 0;
    this.line().textContent = "";
  },
};

(() => {
  document.addEventListener("sugar-upload-failed", () => { if (sugarAdding.total) sugarAdding.stop(); });
  const typing = (event) => event.target.closest?.("input, textarea, [contenteditable]");
  const inBox = (event) => event.target.closest?.("#search-box"); // what is dropped there is searched with (search.js)
  document.addEventListener("dragover", (event) => {
    if (!sugarAdding.shown() || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.querySelector("#photos").classList.add("sugar-dropping");
  });
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (name === "drop" || !event.relatedTarget) document.querySelector("#photos")?.classList.remove("sugar-dropping");
    });
  }
  document.addEventListener("drop", async (event) => {
    if (!sugarAdding.shown() || inBox(event) || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    sugarAdding.add(sugarFiles.take(await sugarFiles.dropped(event.dataTransfer), sugarAdding.texts));
  });
  document.addEventListener("paste", (event) => {
    if (!sugarAdding.shown() || inBox(event) || typing(event)) return;
    const files = sugarFiles.take([...(event.clipboardData?.files ?? [])]);
    if (!files.length) return;
    event.preventDefault();
    sugarAdding.add(files);
  });
})();
