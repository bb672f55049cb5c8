// What Gradio's own components lack for people who use a keyboard or a screen reader.
(() => {
  const done = new WeakSet();

  // Some pictures come without an alternative text.
  const describe = (img) => {
    if (done.has(img) || img.alt) return;
    done.add(img);
    const near = img.closest("[aria-label]")?.getAttribute("aria-label");
    img.alt = near && !near.includes("component of type") ? `picture, ${near}` : "picture";
  };

  // A list whose children are buttons is no list; a label that differs from the visible words hides them.
  const repair = () => {
    document.querySelectorAll("img:not([alt]), img[alt='']").forEach(describe);
    document.querySelectorAll(".examples[role='list']").forEach((list) => list.setAttribute("role", "group"));
    document.querySelectorAll("[aria-label*='<details']").forEach((message) => { // what stands behind an (i) is not read as markup
      message.setAttribute("aria-label", message.getAttribute("aria-label").split("<details")[0].trim());
    });
    document.querySelectorAll(".upload-container[aria-label]").forEach((button) => button.removeAttribute("aria-label"));
  };
  new MutationObserver(repair).observe(document, { childList: true, subtree: true });
})();
