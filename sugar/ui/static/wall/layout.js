// Where the pictures of the wall stand: justified rows, as many pictures a row as fit, each as wide as its shape asks for.
const wallLayout = {
  GAP: 4, HEAD: 28, APART: 20, // pixels between pictures, of a heading, between two months in one row
  LETTER: 8.2, // pixels of a heading's letter

  height: (width) => (width < 600 ? 112 : 200),

  // sections: [[label, [id, ...], [width / height, ...], in one line?], ...]. beside: short sections may share a row.
  // Gives {rows: [{top, tall, head, size, heads: [{left, width, label}], cells: [{id, left, width}]}], tall}.
  rows(sections, width, beside) {
    const { GAP, HEAD, APART, LETTER } = wallLayout, tall = wallLayout.height(width), rows = [];
    let top = 0, row = null;
    const used = () => row.cells.reduce((sum, cell) => sum + cell.space + cell.shape * tall, 0);
    const close = (full) => {
      if (!row?.cells.length) return;
      const spaces = row.cells.reduce((sum, cell) => sum + cell.space, 0), shapes = row.cells.reduce((sum, cell) => sum + cell.shape, 0);
      const most = tall * (full ? 1.35 : 1), fits = (width - spaces) / shapes;
      const size = full || fits < tall ? Math.min(most, fits) : tall, head = row.heads.length ? HEAD : 0;
      if (head && top) top += GAP * 2;
      let left = 0;
      for (const cell of row.cells) {
        cell.left = left += cell.space;
        left += cell.width = Math.floor(cell.shape * size);
      }
      row.heads.forEach((one, n) => {
        one.left = one.cell.left;
        one.width = (row.heads[n + 1]?.cell.left ?? width) - one.left - (n + 1 < row.heads.length ? GAP * 2 : 0);
      });
      rows.push({ top, tall: head + size, head, size, heads: row.heads, cells: row.cells });
      top += head + size + GAP;
      row = null;
    };
    for (const [label, ids, shapes, inLine] of sections) {
      const fair = shapes.map((shape) => Math.min(3.5, Math.max(0.45, shape)));
      const whole = fair.reduce((sum, shape) => sum + shape * tall + GAP, 0);
      const shares = beside && row && used() + row.pad + APART + Math.max(whole, label.length * LETTER) <= width;
      if (!shares) close(row && used() > width * 0.85);
      row ??= { heads: [], cells: [], pad: 0 };
      ids.forEach((id, n) => {
        row ??= { heads: [], cells: [], pad: 0 };
        const space = n || !shares ? (row.cells.length ? GAP : 0) : APART + row.pad;
        const cell = { id, shape: fair[n], space };
        if (!n && label) row.heads.push({ label, cell });
        row.cells.push(cell);
        if (!inLine && used() >= width) close(true);
      });
      if (row) row.pad = Math.max(0, label.length * LETTER - whole);
      if (inLine) close(false);
    }
    close(row && used() > width * 0.85);
    return { rows, tall: top };
  },

  // The number of the first row that reaches below `above`, by bisection.
  first(rows, above) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].top + rows[middle].tall < above) low = middle + 1;
      else high = middle;
    }
    return low;
  },
};
