"""The annotation tool: people paint what matters in a clip, and see it coded again at the same bitrate."""
