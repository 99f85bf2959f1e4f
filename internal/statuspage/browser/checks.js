// Looks for faults that this page could have and axe-core does not see, or not as
// strictly. The value is a JSON list of findings.
JSON.stringify((() => {
  const found = [];
  const say = (rule, element, detail = "") => {
    found.push(`${rule}: ${element.outerHTML.slice(0, 120)} ${detail}`);
  };
  const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest(".unseen, .skip");
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Names: who cannot see it has to hear what it is.
  const name = (e) => {
    const by = e.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    return (e.getAttribute("aria-label") || [...(e.labels ?? [])].map((l) => l.textContent).join(" ") || e.textContent || "").trim();
  };
  for (const e of all("button, a[href], [role=group], [role=search], [role=img], section, nav, table")) {
    if (!name(e)) say("no name", e);
  }
  for (const e of all("input, select, textarea")) {
    if (!e.labels?.length && !e.hasAttribute("aria-label")) say("no label", e);
  }
  for (const e of all("svg")) {
    if (e.getAttribute("role") !== "img" && e.getAttribute("aria-hidden") !== "true") say("svg without role", e);
  }
  for (const e of all("[aria-labelledby]")) {
    for (const id of e.getAttribute("aria-labelledby").split(" ")) {
      if (!document.getElementById(id)) say("label is not there", e);
    }
  }

  // Structure.
  if (!document.documentElement.lang) say("no language", document.documentElement);
  if (!document.title) say("no title", document.head);
  if (all("main").length !== 1 || all("h1").length !== 1) say("want one main and one h1", document.body);
  let level = 1;
  for (const h of all("h1, h2, h3, h4")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) say("heading skips a level", h);
    level = n;
  }
  const ids = new Set();
  for (const e of all("[id]")) {
    if (ids.has(e.id)) say("id is used twice", e);
    ids.add(e.id);
  }
  for (const table of all("table")) {
    for (const th of table.querySelectorAll("thead th")) {
      if (th.scope !== "col" || th.getAttribute("role") !== "columnheader") say("header without scope", th);
    }
    const columns = table.querySelectorAll("thead th").length;
    for (const row of table.querySelectorAll("tbody tr")) {
      const cells = [...row.cells].reduce((n, c) => n + c.colSpan, 0);
      if (cells !== columns) say("row of another width than the header", row);
      if (row.getAttribute("role") !== "row") say("row without role", row);
    }
  }
  for (const e of all("*")) {
    for (const a of e.attributes) {
      if (a.name.startsWith("on") || a.name === "style") say("inline handler or style", e);
    }
    const style = getComputedStyle(e);
    const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY) &&
      (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1);
    if (scrolls && e.tabIndex < 0 && e.tagName !== "SELECT") say("scrolls, and the keyboard cannot", e);
  }

  // Focus is seen.
  for (const e of all("button, a[href], select, [tabindex='0']")) {
    if (!visible(e)) continue;
    e.focus({ preventScroll: true, focusVisible: true });
    const style = getComputedStyle(e);
    if (document.activeElement !== e) say("takes no focus", e);
    else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) say("focus is not seen", e);
  }
  document.activeElement?.blur();

  // Targets that a finger meets (WCAG 2.2, 2.5.8).
  for (const e of all("button, select")) {
    const box = e.getBoundingClientRect();
    if (visible(e) && (box.height < 24 || box.width < 24)) say("small target", e, `${box.width}x${box.height}`);
  }

  // Contrast (WCAG 2.2, 1.4.3): 4.5 for text; all text here is small.
  const parse = (color) => {
    const n = color.match(/[\d.]+/g).map(Number);
    return { rgb: n.slice(0, 3), alpha: n[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.alpha === 1) return c.rgb;
      if (c.alpha > 0) return null; // Not used here.
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.data.trim() || !visible(e) || e.tagName === "SCRIPT" || e.tagName === "OPTION") continue;
    texts++;
    const back = behind(e);
    if (!back) { say("background is half transparent", e); continue; }
    const [a, b] = [luminance(parse(getComputedStyle(e).color).rgb), luminance(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) say("contrast", e, ratio.toFixed(2));
    if (parseFloat(getComputedStyle(e).fontSize) < 11) say("text is too small", e);
  }
  if (texts < 10) say("hardly any text was looked at", document.body);

  // Nothing sticks out to the side.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    say("page scrolls sideways", document.documentElement, `${document.documentElement.scrollWidth} > ${width}`);
    for (const e of all("body *")) {
      if (visible(e) && e.getBoundingClientRect().right > width + 1 && !e.closest("pre, .scroll, svg")) say("sticks out", e);
    }
  }
  return found;
})())
