"""The style sheet of the quality pages: one look on a phone, a desk and paper, light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --text: #1c2126; --muted: #565e67; --rule: #d8dce0; --link: #0b57a4;
  --good: #0a6b3d; --warn-page: #fff0c9; --warn-text: #463300; --warn-rule: #d9a400; --odd: #b3134c;
  --before: #d9822b; --after: #12406f; --heat: 179 19 76;
  --brain: #2e8b57; --eye: #c2410c; --muscle: #b3256b; --heart: #c81e1e;
  --line: #7a35d8; --channel: #6b5b00; --other: #9aa2aa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1b1f23; --text: #e7e9eb; --muted: #a9b1b9; --rule: #343b42; --link: #86bdf7;
    --good: #6fd6a0; --warn-page: #3b2f08; --warn-text: #ffe9b0; --warn-rule: #b98d0c; --odd: #ff7fae;
    --before: #b8752f; --after: #9ccbff; --heat: 255 127 174;
    --brain: #5cc78c; --eye: #f58a4b; --muscle: #f272b0; --heart: #ff7b7b;
    --line: #c09bff; --channel: #d6c352; --other: #7d858f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 0 1rem 4rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header { padding: 1.25rem 0 .25rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .25rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 2px solid var(--rule); }
header + section h2 { margin-top: 1rem; }
h3 { font-size: 1rem; margin: 0; }
p, ul { max-width: 50rem; margin: .5rem 0; }
li { margin: .2rem 0; }
.lead { font-size: 1.1rem; }
.muted, caption, figcaption .muted { color: var(--muted); font-size: .9rem; font-weight: 400; }
.number, td, dd { font-variant-numeric: tabular-nums; }
nav { font-size: .9rem; }
nav a { display: inline-block; padding: .25rem 0; margin-right: 1.25rem; }
.attention, .fine {
  border-left: 6px solid var(--warn-rule); background: var(--warn-page); color: var(--warn-text);
  padding: .6rem 1rem; margin: 1rem 0;
}
.attention ul { margin: .25rem 0 0; padding-left: 1.1rem; }
.fine { border-color: var(--good); background: var(--card); color: inherit; }
.card, figure {
  background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: .75rem 1rem; margin: 0;
  min-width: 0;
}
.sides {
  display: grid; gap: 1rem; grid-template-columns: minmax(0, 10fr) minmax(0, 10fr) minmax(0, 7fr);
  margin: 1rem 0;
}
.layout { --dot: var(--text); max-width: 13rem; margin: 0 auto; }
.sides ul { margin: .25rem 0; padding-left: 1.1rem; font-size: .92rem; }
.pair {
  display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  margin: 1rem 0;
}
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .4rem; }
table { border-collapse: collapse; font-size: .92rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; margin: .5rem 0; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .92rem; margin: 0; }
dl.facts dt { color: var(--muted); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.key {
  display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; padding: 0; max-width: none;
  font-size: .9rem;
}
.key i {
  display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem;
  vertical-align: -1px;
}
.key i.stroke { height: 3px; width: 1.4rem; vertical-align: 4px; }

svg { display: block; }
svg.store { position: absolute; width: 0; height: 0; }
figure > svg { width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 12px; font-family: inherit; }
svg .small, svg .name { font-size: 11px; }
svg .odd-text {
  fill: var(--odd); font-weight: 600; font-size: 11px; paint-order: stroke; stroke: var(--card);
  stroke-width: 3px;
}
svg path { vector-effect: non-scaling-stroke; stroke-linejoin: round; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg path.grid, svg path.before, svg path.after, svg path.faint, svg path.bad, svg path.median, svg path.source {
  fill: none;
}
svg path.before { stroke: var(--before); stroke-width: 1; }
svg path.after { stroke: var(--after); stroke-width: 1; }
svg path.faint { stroke: var(--muted); stroke-width: 1; stroke-opacity: .28; }
svg path.bad { stroke: var(--odd); stroke-width: 1.2; stroke-dasharray: 4 2; }
svg path.median { stroke-width: 2.6; }
svg path.source { stroke: var(--text); stroke-width: 1.1; }
.head { color: var(--text); width: 100%; height: auto; }
.bar { width: 100%; height: 6px; border-radius: 3px; margin: .2rem 0; background: var(--rule); }
.c-brain { fill: var(--brain); background: var(--brain); } .c-eye { fill: var(--eye); background: var(--eye); }
.c-muscle {
  fill: var(--muscle); background: var(--muscle); } .c-heart { fill: var(--heart); background: var(--heart);
}
.c-line {
  fill: var(--line); background: var(--line); } .c-channel { fill: var(--channel); background: var(--channel);
}
.c-other { fill: var(--other); background: var(--other); }
.s-before { background: var(--before); } .s-after { background: var(--after); } .s-bad { background: var(--odd); }
.s-faint { background: var(--muted); opacity: .4; }

.removed { display: grid; gap: .75rem; margin: 1rem 0; }
.removed .card {
  display: grid; grid-template-columns: 7.5rem minmax(0, 14rem) minmax(0, 1fr); gap: .25rem 1.5rem;
  align-items: center; border-left: 6px solid var(--odd);
}
.removed .card > header {
  grid-column: 1 / -1; padding: 0; display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline;
}
.removed .why { color: var(--odd); font-weight: 600; }
.removed svg:not(.head) { width: 100%; height: auto; }
.removed svg.source-course { height: 6.5rem; }
.kept {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(6.6rem, 1fr)); gap: .6rem; margin: 1rem 0;
  list-style: none; padding: 0; max-width: none;
}
.kept li {
  background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .3rem .45rem;
  font-size: .8rem; line-height: 1.3; margin: 0;
}
.kept b { font-weight: 600; }
.kept .line2 { display: flex; justify-content: space-between; gap: .3rem; }
.lanes { display: flex; align-items: flex-start; background: var(--card); }
.lanes .names { position: sticky; left: 0; background: var(--card); flex: none; z-index: 1; }
.lanes .course { flex: 1 0 52rem; }
.lanes .course svg { width: 100%; }
.ticks { position: relative; height: 1.3rem; font-size: .75rem; color: var(--muted); }
.ticks span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.ticks .first { transform: none; }
.ticks .last { transform: translateX(-100%); }
.strips {
  display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr));
  margin: 1rem 0;
}
.strips figcaption { display: flex; justify-content: space-between; gap: 1rem; flex-wrap: wrap; margin: 0; }
svg .recording { fill: var(--link); fill-opacity: .5; }
svg .odd { fill: var(--odd); }
svg .usual { stroke: var(--text); stroke-width: 1.5; }
svg .limits { fill: var(--rule); fill-opacity: .4; }
.judged td, .judged th { padding: .3rem .7rem .3rem 0; }
.judged thead th { vertical-align: bottom; font-size: .82rem; white-space: normal; max-width: 6rem; }
.judged td.number { padding: .3rem .5rem; background: rgb(var(--heat) / var(--far, 0)); }
.judged td.why { min-width: 18rem; }
.judged tbody th { white-space: nowrap; }
.failed { border-color: var(--odd); }
.failed strong { color: var(--odd); }
.failed li { overflow-wrap: anywhere; }
@media (max-width: 60rem) { .sides { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 48rem) {
  .card, figure { padding: .6rem; }
  .sides { grid-template-columns: minmax(0, 1fr); }
  .removed .card { grid-template-columns: 7.5rem minmax(0, 1fr); }
  .removed svg.source-course { grid-column: 1 / -1; height: 5.5rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: .4rem; }
  .kept { grid-template-columns: repeat(auto-fill, minmax(5.6rem, 1fr)); }
}
@media print {
  body { max-width: none; font-size: 9pt; }
  .card, figure, li, tr { break-inside: avoid; }
  nav { display: none; }
}
"""
