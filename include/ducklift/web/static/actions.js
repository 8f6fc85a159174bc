export function wireActions() {}
