"""How the page looks: its theme, the styles of what Sugar draws, and alternative texts for the pictures that Gradio draws.

Not covered: the grid of pictures, which brings its own styles (grid.py); the script of the message box (message.py).
"""

from __future__ import annotations

import gradio as gr

__all__ = ["CSS", "HEAD", "theme"]


def theme() -> gr.themes.Base:
    """Calm: one accent, system fonts (nothing is fetched), flat surfaces."""
    fonts = ("ui-sans-serif", "system-ui", "sans-serif")
    mono = ("ui-monospace", "monospace")
    return gr.themes.Base(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", radius_size="md", font=fonts, font_mono=mono)


CSS = """
.gradio-container > main { width: 100%; max-width: 1080px !important; padding: 1rem clamp(.75rem, 3vw, 2rem) !important; }
.gradio-container { max-width: 1080px !important; margin: auto; }
.sugar-title h1 { font-size: 1.4rem; font-weight: 650; margin: .4rem 0 0; }
.sugar-head { gap: .3rem; }
.sugar-head .block, .sugar-head .html-container { padding: 0 !important; border: 0; overflow: visible; }
.sugar-note { margin: .5rem 0 0; }
.sugar-facts, .sugar-facts th, .sugar-facts td { border: 0 !important; background: none !important; }
.sugar-facts th { text-align: left; font-weight: 500; padding: .15rem 1rem .15rem 0; color: var(--body-text-color-subdued); }
.sugar-facts td { overflow-wrap: anywhere; }
progress { width: 100%; accent-color: var(--color-accent); }
.sugar-intro { color: var(--body-text-color-subdued); }
.sugar-status { font-size: var(--text-sm); color: var(--body-text-color-subdued); }
.sugar-status b { color: var(--body-text-color); font-weight: 600; }
.sugar-note { border-left: 3px solid var(--color-accent); padding: .35rem .75rem; background: var(--background-fill-secondary); }
.sugar-stats { font-size: var(--text-sm); color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; min-height: 1.4em; }
#talk .message img { max-height: 150px; width: auto; border-radius: 4px; }
#talk .bot .message:last-child:not(:first-child) span { font-size: var(--text-xs); color: var(--body-text-color-subdued); }
#talk button:is([title="Share"], [title="Clear"]) { display: none; }
#talk [data-testid="status-tracker"]:has(.error) { display: none; }
#message[data-held]::after { content: "Sent when the answer ends"; display: block; padding: 0 .9rem .6rem;
  font-size: var(--text-xs); color: var(--body-text-color-subdued); }
#compare-pictures .grid-wrap { padding-top: 2rem; }
.sugar-heat { overflow-x: auto; }
.sugar-heat :is(table, th, td, tr, thead, caption) { border: 0 !important; }
.sugar-heat table { border-collapse: separate; border-spacing: 3px; font-size: var(--text-sm); }
.sugar-heat caption { text-align: left; color: var(--body-text-color-subdued); padding-bottom: .3rem; }
.sugar-heat th { font-weight: 500; text-align: left; max-width: 14rem; color: var(--body-text-color); }
.sugar-heat thead th { vertical-align: bottom; max-width: 9rem; }
.sugar-heat th img { height: 56px; max-width: none; border-radius: 4px; display: block; }
.sugar-heat tbody td { text-align: center; padding: .5rem .6rem; min-width: 3.2rem; border-radius: 4px; font-variant-numeric: tabular-nums;
  color: var(--body-text-color);
  background: color-mix(in oklab, var(--color-accent) calc(var(--heat) * .62), var(--background-fill-secondary)); }
.sugar-heat td.on-path { outline: 2px solid var(--body-text-color); outline-offset: -2px; font-weight: 700; }
.sugar-bar { display: grid; grid-template-columns: minmax(6rem, 1fr) 2fr 3rem; gap: .6rem; align-items: center; font-size: var(--text-sm); }
.sugar-bar i { height: .55rem; border-radius: 3px;
  background: linear-gradient(to right, var(--color-accent) var(--share), var(--background-fill-secondary) var(--share)); }
.sugar-bar b { font-weight: 500; font-variant-numeric: tabular-nums; }
"""

HEAD = """<meta name="color-scheme" content="light dark"><script>
// Gradio draws some pictures without alternative text: give them some, for those who cannot see them.
const named = new WeakSet();
function name(img) {
  if (named.has(img) || img.alt) return;
  named.add(img);
  const near = img.closest("[aria-label]")?.getAttribute("aria-label");
  img.alt = near && !near.includes("component of type") ? "picture, " + near : "picture";
}
new MutationObserver(() => document.querySelectorAll("img").forEach(name)).observe(document, { childList: true, subtree: true });
</script>"""
