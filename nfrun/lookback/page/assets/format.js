// Numbers as the command line shows them.

const WORDS = {
  ok: "ran",
  reused: "reused",
  failed: "failed",
  tolerated: "failed (tolerated)",
  skipped: "skipped",
  cancelled: "cancelled",
  disabled: "disabled",
  not_selected: "not selected",
  running: "running",
  not_ended: "not ended",
};
const STATUSES = Object.keys(WORDS);
const RANK = {
  failed: 0,
  not_ended: 1,
  running: 1,
  tolerated: 2,
  cancelled: 3,
  ok: 4,
  reused: 5,
  skipped: 6,
  disabled: 7,
  not_selected: 8,
};
const rankOf = (status) => RANK[status] ?? 9;
const worstOf = (statuses) => statuses.reduce((worst, status) => (rankOf(status) < rankOf(worst) ? status : worst));
const PHASES = {
  failed: "failed attempt",
  backoff: "until the next attempt",
  queued: "queued",
  inputs: "waiting for inputs",
  work: "working",
  handoff: "handing on",
};

const wordOf = (status) => WORDS[status] ?? status;
// The type and the message of an error; some have their type as the message.
const errorText = (error) =>
  [error.type === error.message ? "" : error.type, error.message].filter(Boolean).join(": ") || "error";
const known = (value) => value !== null && value !== undefined;

function seconds(value) {
  if (!known(value)) return "";
  if (value < 0) return `-${seconds(-value)}`;
  if (value === 0) return "0 s";
  if (value < 0.00095) return `${Math.round(value * 1e6)} us`;
  if (value < 0.095) return `${(value * 1e3).toFixed(1)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1e3)} ms`;
  if (value < 99.5) return value < 9.995 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`;
  const whole = Math.round(value),
    hours = Math.floor(whole / 3600),
    minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${minutes} m` : `${minutes} m ${whole % 60} s`;
}

function size(value) {
  if (!known(value)) return "";
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5) return `${unit === "B" || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

const number = (value) => (known(value) ? value.toLocaleString("en-US") : "");
const count = (value, thing) => `${number(value)} ${thing}${value === 1 ? "" : "s"}`;
const percent = (part) => (part > 0 && part < 0.01 ? "< 1 %" : `${Math.round(part * 100)} %`);

const isTable = (output) => !output.type || output.type === "table";
// "34,026 rows, 2.3 MB"
function amount(output) {
  return [known(output.rows) && isTable(output) ? count(output.rows, "row") : "", size(output.bytes)]
    .filter(Boolean)
    .join(", ");
}

function localTime(epoch) {
  const when = new Date(epoch * 1000),
    pad = (part) => String(part).padStart(2, "0");
  const zone = new Intl.DateTimeFormat("en", { timeZoneName: "short" })
    .formatToParts(when)
    .find((part) => part.type === "timeZoneName");
  const date = [when.getFullYear(), pad(when.getMonth() + 1), pad(when.getDate())].join("-");
  const time = [when.getHours(), when.getMinutes(), when.getSeconds()].map(pad).join(":");
  return [date, time, zone?.value].filter(Boolean).join(" ");
}

// A round step for about `most` ticks.
function roundStep(span, most) {
  const rough = span / Math.max(1, most),
    power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((step) => step * power >= rough * 0.999999);
}

function tickText(value, step) {
  const digits = (unit) => Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  if (value === 0) return "0";
  if (step >= 60 || value >= 120) return seconds(value);
  if (step >= 0.1 || value >= 1) return `${value.toFixed(digits(1))} s`;
  if (step >= 1e-4) return `${(value * 1e3).toFixed(digits(1e-3))} ms`;
  return `${(value * 1e6).toFixed(digits(1e-6))} us`;
}
