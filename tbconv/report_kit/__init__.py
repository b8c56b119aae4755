"""The one kit for report pages, model cards and figures; Jinja2 and matplotlib are imported when something is drawn."""
