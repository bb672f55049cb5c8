// The Search tab in the browser: searching while one types, pictures by drop and paste, chips, more results, links.
// Not covered: what a press means (sugar/ui/search.py); every search runs on the server.
const sugarSearch = {
  pause: 350, // milliseconds without a key before a search begins
  waiting: null,

  find: (selector) => document.querySelector(selector),
  press(id) {
    const found = this.find(`#${id}`);
    (found?.matches("button") ? found : found?.querySelector("button"))?.click();
  },
  // The same once the button is there: a tab that was never open comes a moment after it is chosen.
  soon(id, tries = 50) {
    if (this.find(`#${id}`)) this.press(id);
    else if (tries) setTimeout(() => this.soon(id, tries - 1), 100);
  },
  words() { return this.find("#search-words textarea"); },

  // A key was pressed in the box: a search begins after a pause. While one is under way the next waits, and only the
  // last of those that wait is sent.
  typed() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.press("search-live"), this.pause);
  },

  // The strip of chips: presses, arrow keys, dragging and dates become events for the server.
  chips(element, trigger) {
    let focus = null, dragged = null;
    const send = (event, again) => { focus = again; trigger("click", event); };
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) send({ do: button.dataset.do, chip: button.dataset.chip, text: button.dataset.text }, "textarea");
    });
    element.addEventListener("keydown", (event) => {
      const part = event.target.closest("[data-part]");
      if (!part) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], at = Number(part.dataset.part);
      if (step) send({ do: "move", chip: at, to: at + step }, `[data-part="${at + step}"]`);
      if (event.key === "Delete" || event.key === "Backspace") send({ do: "take", chip: at }, "textarea");
      if (step) event.preventDefault();
    });
    element.addEventListener("change", (event) => {
      if (!event.target.matches("[data-date]")) return;
      const day = (name) => element.querySelector(`[data-date="${name}"]`).value;
      send({ do: "dates", from: day("from"), until: day("until") }, `[data-date="${event.target.dataset.date}"]`);
    });
    element.addEventListener("dragstart", (event) => {
      dragged = event.target.closest("[data-part]")?.dataset.part ?? null;
      event.dataTransfer?.setData("text/plain", "");
    });
    element.addEventListener("dragover", (event) => { if (dragged !== null) event.preventDefault(); });
    element.addEventListener("drop", (event) => {
      const target = event.target.closest(".sugar-chip")?.querySelector("[data-part]");
      if (dragged === null) return;
      event.preventDefault();
      event.stopPropagation();
      if (target) send({ do: "move", chip: Number(dragged), to: Number(target.dataset.part) }, null);
      dragged = null;
    });
    new MutationObserver(() => {
      if (focus === null) return;
      (element.querySelector(focus) ?? this.words())?.focus();
      focus = null;
    }).observe(element, { childList: true, subtree: true });
  },

  scores(on) { this.find("#search-tab")?.classList.toggle("with-scores", on); },

  async copy(link, copied, refused) {
    try {
      await navigator.clipboard.writeText(link);
      this.tell("#search-link", copied);
    } catch { // a page without https may not copy
      sugarErrors.tell(sugarErrors.escape(refused.replace("{link}", () => link)), "info");
    }
  },

  // Say for a while on a button what it has done.
  tell(selector, text) {
    const button = this.find(selector), before = button.textContent;
    button.textContent = text;
    setTimeout(() => { button.textContent = before; }, 4000);
  },

  link(words, gallery, mode) {
    const address = new URL(location.origin + location.pathname);
    address.search = new URLSearchParams({ search: words, gallery: gallery ?? "", mode });
    return address.href;
  },

  // A page that was opened by a link shows the Search tab and searches, once the box has its words; a key pressed
  // in the box before that ends it.
  follow() {
    const wanted = new URLSearchParams(location.search).get("search");
    if (!wanted || this.waiting !== null) return;
    if (this.words()?.value === wanted) {
      this.press("search-live");
      return;
    }
    if (!this.words()) [...document.querySelectorAll("[role=tab]")].find((t) => t.textContent.trim() === "Search")?.click();
    setTimeout(() => this.follow(), 250);
  },
};

(() => {
  const inBox = (event) => event.target.closest?.("#search-box");
  document.addEventListener("input", (event) => { if (event.target.closest?.("#search-words")) sugarSearch.typed(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.closest?.("#search-words")) clearTimeout(sugarSearch.waiting);
  });
  const give = (transfer) => sugarFiles.give("#search-picture", sugarFiles.take([...(transfer?.files ?? [])]));
  document.addEventListener("paste", (event) => {
    if (inBox(event) && give(event.clipboardData)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => {
    if (inBox(event) && event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!inBox(event) || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    give(event.dataTransfer);
  });
  sugarSearch.follow(); // not on "load", which may be over when this script comes
})();
