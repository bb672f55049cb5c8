// The Chat tab around its messages: the list of conversations, a drawer on a phone; what a reload opens again; pictures at a press.
window.sugarChat = {
  began: false, // the list has come once

  toggle(open) { document.querySelector("#chat")?.classList.toggle("side-open", open); },

  // The list is drawn anew after each change. The browser tab remembers which conversation it shows, and opens it after a reload.
  list(element) {
    const listed = () => {
      const shown = element.querySelector("[aria-current=true]")?.dataset.pick ?? "";
      if (!this.began) {
        if (!element.querySelector("li, p")) return;
        this.began = true;
        const before = CSS.escape(sessionStorage.getItem("sugar-conversation") ?? "");
        const entry = () => before && element.querySelector(`[data-pick="${before}"]`);
        if (entry() && !shown) return setTimeout(() => { if (!messageBox.busy([])) entry()?.click(); }); // Gradio is drawing
      }
      sessionStorage.setItem("sugar-conversation", shown);
    };
    new MutationObserver(listed).observe(element, { childList: true, subtree: true });
    element.addEventListener("click", (event) => { if (event.target.closest("[data-pick^='saved:']")) this.toggle(false); });
    listed();
  },
};

document.addEventListener("click", (event) => {
  const under = document.elementsFromPoint(event.clientX, event.clientY).find((one) => one.matches("#talk .message img"));
  if (under && event.target.closest("#talk") && !event.target.closest(".icon-button-wrapper")) {
    const shown = new Set([...document.querySelectorAll("#talk .message img")].map(({ src }) => src));
    document.querySelectorAll("#talk-pictures li")[[...shown].indexOf(under.src)]?.querySelector("button").click();
  }
  if (event.target.id === "chat") sugarChat.toggle(false); // beside the drawer
  if (event.target.id === "talk-opened") event.target.querySelector("[data-pick='close:']")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  sugarChat.toggle(false);
  document.querySelector("#talk-opened [data-pick='close:']")?.click();
});
