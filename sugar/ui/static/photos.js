// The bar of the tab Photos: its folds, one open at a time, and the dialog "New gallery".
const sugarPhotos = {
  names: ["bin", "more", "expert"],

  fold(name) {
    const tab = document.querySelector("#photos"), open = tab.dataset.fold !== name;
    tab.dataset.fold = open ? name : "";
    for (const one of this.names) document.querySelector(`#photos-${one}-open`)?.setAttribute("aria-expanded", String(open && one === name));
  },

  // A column of the page over the page: Esc and a press beside it close it.
  dialog(id) {
    const node = document.querySelector(`#${id}`);
    node.popover = "auto";
    node.setAttribute("role", "dialog");
    node.setAttribute("aria-label", document.querySelector(`#${id}-open`)?.textContent.trim() ?? "");
    node.showPopover();
    node.querySelector("input, textarea")?.focus();
  },
  close() { document.querySelectorAll(".sugar-dialog:popover-open").forEach((node) => node.hidePopover()); },
};
