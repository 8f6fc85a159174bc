// Buttons that have something done: JSON with a header of our own, which no form of another site can send.
const HEADERS = { "content-type": "application/json", "x-ducklift-action": "1", accept: "application/json" };

export function wireActions(root) {
  for (const group of root.querySelectorAll("[data-actions]")) {
    for (const button of group.querySelectorAll("[data-action]")) {
      button.addEventListener("click", async () => {
        if (!button.dataset.confirm || (await confirmed(button.textContent.trim(), button.dataset.confirm))) start(group, button.dataset.action, JSON.parse(button.dataset.body));
      });
    }
    for (const button of group.querySelectorAll("[data-form]")) button.addEventListener("click", () => ask(group, button.dataset.form));
  }
}

async function answer(address, options) {
  try {
    const got = await fetch(address, { credentials: "same-origin", ...options, headers: HEADERS });
    const text = await got.text();
    try { return got.ok ? JSON.parse(text) : { error: JSON.parse(text).error }; } catch { return { error: text.trim() || `The server answered ${got.status}.` }; }
  } catch (failed) {
    return { error: `The server did not answer (${failed.message}). Is Airflow running?` };
  }
}

async function start(group, action, body) {
  const buttons = group.querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  say(group, "Asking Airflow for a run …");
  const told = await answer(group.dataset.actions + action, { method: "POST", body: JSON.stringify(body) });
  buttons.forEach((button) => { button.disabled = false; });
  if (told.error) return say(group, told.error, true);
  say(group, told.paused ? `${told.dag_id} is paused: the run waits until it is not. ` : "Started ");
  const place = group.querySelector(".outcome");
  const root = group.dataset.airflowRoot;
  const run = element(root ? "a" : "span", { textContent: told.run_id });
  if (root) { run.href = root + told.run_path; run.dataset.airflow = ""; }
  place.append(run, ".");
  document.dispatchEvent(new CustomEvent("started", { detail: place }));
}

function say(group, text, failed = false) {
  const place = group.querySelector(".outcome");
  place.classList.toggle("failed", failed);
  place.replaceChildren(text);
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function dialog(title, ...content) {
  const cancel = element("button", { type: "button", textContent: "Cancel" });
  const go = element("button", { type: "submit", className: "primary", textContent: title });
  const form = element("form", { method: "dialog" }, element("h2", { textContent: title, id: "dialog-title" }), ...content, element("div", { className: "actions" }, go, cancel));
  const box = element("dialog", { className: "dialog" }, form);
  box.setAttribute("aria-labelledby", "dialog-title");
  cancel.addEventListener("click", () => box.close());
  document.body.append(box);
  box.showModal();
  const sent = new Promise((resolve) => {
    form.addEventListener("submit", (event) => { if (!event.defaultPrevented) box.returnValue = "go"; });
    box.addEventListener("close", () => { resolve(box.returnValue === "go"); box.remove(); });
  });
  return { form, sent };
}

function confirmed(title, explanation) {
  return dialog(title, element("p", { textContent: explanation })).sent;
}

async function ask(group, pipeline) {
  say(group, "Asking for the form …");
  const told = await answer(`${group.dataset.actions}form/${encodeURIComponent(pipeline)}`, { method: "GET" });
  if (told.error) return say(group, told.error, true);
  say(group, "");
  const fields = Object.entries(told.fields).map(([name, field]) => ({ name, field, control: controlOf(name, field) }));
  const rows = fields.map(({ name, field, control }) => {
    const note = field.description ? [element("span", { className: "small muted", textContent: field.description })] : [];
    return element("label", {}, element("span", { className: "mono", textContent: name }), ...note, control);
  });
  if (!rows.length) rows.push(element("p", { className: "muted", textContent: "This pipeline's runs take no parameters." }));
  const { form, sent } = dialog(`Run ${pipeline}`, ...rows);
  form.addEventListener("submit", (event) => {
    // A value that cannot be sent keeps the dialog open, and says so at its field.
    for (const { field, control } of fields) {
      try { valueOf(field, control); control.setCustomValidity(""); } catch (wrong) { control.setCustomValidity(wrong.message); event.preventDefault(); control.reportValidity(); }
    }
  }, { capture: true });
  form.addEventListener("input", (event) => event.target.setCustomValidity?.(""));
  if (!(await sent)) return;
  const parameters = {};
  for (const { name, field, control } of fields) {
    const value = valueOf(field, control);
    if (JSON.stringify(value) !== JSON.stringify(field.value ?? null)) parameters[name] = value;
  }
  start(group, "run", { pipeline, parameters });
}

function typesOf(field) {
  return [field.schema?.type ?? []].flat();
}

function controlOf(name, field) {
  const types = typesOf(field), value = field.value ?? null;
  if (Array.isArray(field.schema?.enum)) {
    return element("select", { name }, ...field.schema.enum.map((one) => element("option", { value: JSON.stringify(one), textContent: one === null ? "–" : String(one), selected: one === value })));
  }
  if (types.includes("boolean")) return element("input", { name, type: "checkbox", checked: value === true });
  if (types.includes("integer") || types.includes("number")) return element("input", { name, type: "number", step: types.includes("number") ? "any" : "1", value: value ?? "" });
  if (types.includes("array")) return element("textarea", { name, rows: 3, value: (value ?? []).map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n") });
  if (types.includes("object")) return element("textarea", { name, rows: 3, value: value === null ? "" : JSON.stringify(value, null, 1) });
  return element("input", { name, type: "text", value: value ?? "" });
}

function valueOf(field, control) {
  const types = typesOf(field);
  if (control.tagName === "SELECT") return JSON.parse(control.value);
  if (control.type === "checkbox") return control.checked;
  const text = control.value;
  if (types.includes("array")) {
    const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
    return !lines.length && types.includes("null") ? null : lines.map((line) => (field.schema?.items?.type && field.schema.items.type !== "string" ? JSON.parse(line) : line));
  }
  if (!text.trim()) return types.includes("string") && !types.includes("null") ? "" : null;
  if (types.includes("object")) return JSON.parse(text);
  return types.includes("integer") || types.includes("number") ? Number(text) : text;
}
