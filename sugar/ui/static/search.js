// The search box in the browser: searching while one types, pictures by drop and paste, chips, filters, keys, links.
// Not covered: what a press means (sugar/ui/search_box.py); every search runs on the server.
const sugarSearch = {
  pause: 250, // milliseconds without a key before a search begins
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

  // The same search over another gallery, or in another mode; an empty box asks for nothing.
  again() {
    if (this.words()?.value.trim() || this.find("#search-chips :is(.sugar-chip, [data-linked])")) this.press("search-live");
  },

  // The strip of chips, and the filters: presses, arrow keys, dragging and dates become events for the server.
  chips(element, trigger) {
    let focus = null, dragged = null;
    const send = (event, again) => { focus = again; trigger("click", event); };
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) element.querySelector("details")?.removeAttribute("open");
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

  scores(on) { this.find("#photos")?.classList.toggle("with-scores", on); },

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

  // The address of this search; of its pictures those of the gallery, at their places before and after the words.
  link(words, gallery, mode) {
    const address = new URL(location.origin + location.pathname), asked = { search: words, gallery: gallery ?? "", mode };
    const parts = (this.find("#search-chips [data-parts]")?.dataset.parts ?? "").split(",").filter(Boolean);
    const before = parts.slice(0, parts.indexOf(".")), pictures = parts.filter((part) => part !== ".");
    if (pictures.length) Object.assign(asked, { with: pictures.join(","), at: before.length });
    address.search = new URLSearchParams(asked);
    return address.href;
  },

  // A page that was opened by a link shows the tab Photos and searches, once the box has what the link asks for; a key pressed
  // in the box before that ends it. The address of a picture shows the tab too, where the wall opens it (wall/lightbox.js).
  follow() {
    const asked = new URLSearchParams(location.search);
    if (!["search", "with", "photo"].some((name) => asked.get(name)) || this.waiting !== null) return;
    if (!this.words()) [...document.querySelectorAll("[role=tab]")].find((tab) => tab.textContent.trim() === "Photos")?.click();
    else if (asked.get("photo")) return;
    if (this.find("#search-chips [data-linked]") && this.words()?.value === (asked.get("search") ?? "")) {
      this.press("search-live");
      return;
    }
    setTimeout(() => this.follow(), 250);
  },
};

(() => {
  const inBox = (event) => event.target.closest?.("#search-box");
  document.addEventListener("input", (event) => { if (event.target.closest?.("#search-words")) sugarSearch.typed(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.target.closest?.("#search-words")) {
      if (event.key === "Enter") clearTimeout(sugarSearch.waiting);
      const { value, selectionEnd } = event.target;
      if (event.key === "ArrowDown" && !value.slice(selectionEnd).includes("\n")) {
        event.preventDefault();
        document.querySelector("#wall .sugar-wall")?.sugarWall.enter();
      }
    } else if (event.key === "/" && !typing && !document.querySelector("dialog:modal") && sugarSearch.words()?.offsetParent) {
      event.preventDefault();
      sugarSearch.words().focus();
    }
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll(".sugar-menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
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
