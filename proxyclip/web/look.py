"""Colours and letters of the page: gradio's plain theme with the letters of the system, so that nothing is fetched."""

from __future__ import annotations

from typing import Any

from .view import ASSETS

LETTERS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def style() -> str:
    """The style sheet."""
    return (ASSETS / "style.css").read_text(encoding="utf-8")


def theme() -> Any:
    """Gradio's theme, which has a dark mode of its own."""
    import gradio as gr

    look = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        text_size="md",
        radius_size="sm",
        font=list(LETTERS),
        font_mono=list(MONO),
    )
    return look.set(
        body_background_fill="#ffffff",
        body_background_fill_dark="#12161c",
        body_text_color="#1b2330",
        body_text_color_dark="#e4e8ee",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_color="#5b6678",
        block_label_text_color_dark="#9ca8b8",
        block_info_text_color="#5b6678",
        block_info_text_color_dark="#9ca8b8",
        block_title_text_weight="600",
        input_background_fill="#f5f7f9",
        input_background_fill_dark="#1a2028",
        input_border_color="#dde2e9",
        input_border_color_dark="#2d3641",
        button_primary_background_fill="#1d5fa6",
        button_primary_background_fill_hover="#174d88",
        button_primary_background_fill_dark="#2b6cb0",
        button_primary_background_fill_hover_dark="#3a7cc2",
        button_primary_text_color="#ffffff",
        slider_color="#1d5fa6",
        slider_color_dark="#74b3f2",
    )
