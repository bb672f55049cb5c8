// Files from a drop or from the clipboard, and how they reach a Gradio upload as if they had been chosen there.
const sugarFiles = {
  kinds: /\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif|zip)$/i,
  zip: /\.zip$/i,
  noise: /^(\.|thumbs\.db$|desktop\.ini$)/i,
  most: {}, // bytes of a picture and of a zip (status.py)
  fits(file, also) {
    const most = sugarFiles.most[sugarFiles.zip.test(file.name) ? "zip" : "picture"] ?? Infinity;
    return file.size <= most && (file.type.startsWith("image/") || sugarFiles.kinds.test(file.name) || !!also?.test(file.name));
  },
  // Those that can be added; the page names the others. also: of names that are taken besides pictures and zips.
  take(files, also) {
    const taken = files.filter((file) => !sugarFiles.noise.test(file.name) && sugarFiles.fits(file, also)), known = new Set(taken);
    const left = files.filter((file) => !known.has(file) && !sugarFiles.noise.test(file.name));
    const names = left.slice(0, 5).map((file) => sugarErrors.escape(file.name)).join(", ");
    if (left.length) {
      const told = sugarErrors.words.left_out.replace("{n}", left.length);
      sugarErrors.tell(told.replace("{names}", () => (left.length > 5 ? `${names}, …` : names)), "warning");
    }
    return taken;
  },

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

  // All files of a drop, those inside folders too.
  async dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const found = entries.length ? (await Promise.all(entries.map((e) => sugarFiles.inside(e)))).flat() : [...transfer.files];
    return found;
  },
  async inside(entry) {
    const lost = new File([], entry.name); // it cannot be read
    if (entry.isFile) return [await new Promise((done) => entry.file(done, () => done(lost)))];
    const reader = entry.createReader(), all = [];
    for (;;) { // a reader gives at most 100 entries at a time
      const some = await new Promise((done) => reader.readEntries(done, () => done(null)));
      if (!some) return [lost, ...(await Promise.all(all.map((e) => sugarFiles.inside(e)))).flat()];
      if (!some.length) break;
      all.push(...some);
    }
    return (await Promise.all(all.map((e) => sugarFiles.inside(e)))).flat();
  },
};
