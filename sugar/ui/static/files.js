// Files from a drop or from the clipboard, and how they reach a Gradio upload as if they had been chosen there.
const sugarFiles = {
  kinds: /\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif|zip)$/i,
  fits: (file) => file.type.startsWith("image/") || sugarFiles.kinds.test(file.name),

  // selector: of an UploadButton, whose input stands beside it.
  give(selector, files) {
    const input = document.querySelector(selector)?.parentElement.querySelector(`input[type=file]:has(+ ${selector})`);
    if (!files.length || !input) return false;
    const list = new DataTransfer();
    files.forEach((file) => list.items.add(file));
    input.files = list.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  },

  // All files of a drop, those inside folders too, but for a system's own.
  async dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const found = entries.length ? (await Promise.all(entries.map((e) => sugarFiles.inside(e)))).flat() : [...transfer.files];
    return found.filter((file) => !/^(\.|thumbs\.db$|desktop\.ini$)/i.test(file.name));
  },
  async inside(entry) {
    if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
    const reader = entry.createReader(), all = [];
    for (;;) { // a reader gives at most 100 entries at a time
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) break;
      all.push(...some);
    }
    return (await Promise.all(all.map((e) => sugarFiles.inside(e)))).flat();
  },
};
