// One live region for the page: what changes inside an element of the class sugar-live is announced once.
// Numbers do not count as a change, so that a clock or a download is not read aloud every second.
const live = {
  delay: 400,
  said: new WeakMap(),
  region: null,

  words: (element) => element.innerText.replace(/\s+/g, " ").trim(),
  gist: (words) => words.replace(/[\d.,%]+/g, "#"),

  start() {
    this.region = document.createElement("div");
    Object.assign(this.region, { id: "announcements", role: "status" });
    this.region.setAttribute("aria-live", "polite");
    this.region.className = "sugar-unseen";
    document.body.append(this.region);
    new MutationObserver((changes) => {
      const touched = changes.map((change) => (change.target.closest ?? change.target.parentElement?.closest)?.call(
        change.target.closest ? change.target : change.target.parentElement, ".sugar-live"));
      new Set(touched.filter(Boolean)).forEach((element) => this.changed(element));
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  },

  changed(element) {
    clearTimeout(element.sugarLive);
    element.sugarLive = setTimeout(() => this.announce(element), this.delay);
  },

  announce(element) {
    const words = this.words(element);
    if (this.said.get(element) === this.gist(words)) return;
    this.said.set(element, this.gist(words));
    this.region.textContent = words;
  },
};
document.addEventListener("DOMContentLoaded", () => live.start());
