"""Report: a run as one page for a browser: masks, clusters, curves, measures, what went wrong.

Before:   every stage (the stage `report` reads the run's folder and fills a ReportContent)
After:    a reader
Contract: page.render(content) -> HTML text; checks.alarms(counts) -> {stage: alarms}; overlays.*
          paint RGB uint8; colours.palette(n) -> (n + 1, 3) uint8, colours.palette_bytes() -> 768
          bytes for label maps as PNG
"""
