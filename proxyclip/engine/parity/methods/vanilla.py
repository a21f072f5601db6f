"""Plain CLIP: its text features, windows, slides and a whole image without a VFM."""

from torch import Tensor

from proxyclip.data.templates import openai_imagenet_template
from proxyclip.data.vocabulary import parse_vocabulary
from proxyclip.engine.parity.cases import COSINES, FEATURES, ParityCase, ParityStage
from proxyclip.engine.parity.methods._proxyclip import TOKENS, make_slide_case, make_window_case
from proxyclip.engine.parity.world import ParityWorld
from proxyclip.models.clip.prompts import embed_class_names

CLASS_LISTS = ("syn3", "plain5", "syn12")


def compute_text_features(world: ParityWorld) -> dict[str, Tensor]:
    """Compute the text features of each class list over 80 templates."""
    clip = world.clip()
    features = {}
    for name in CLASS_LISTS:
        names = parse_vocabulary(str(world.golden.arrays("text")[f"{name}_file"])).names
        features[name] = embed_class_names(names, openai_imagenet_template, clip.tokenizer, clip.encode_text)
    return features


_text_stages = {name: ParityStage(FEATURES, f"{name}_query_features", "text") for name in CLASS_LISTS}
_window_stages = {"feat": ("none_feat", TOKENS), "logits": ("none_logits_syn3", COSINES)}

CASES = (
    ParityCase("vanilla", "text", compute_text_features, _text_stages),
    make_window_case("vanilla", "smooth64", "smooth64", "proxy_smooth64", _window_stages),
    make_window_case("vanilla", "smooth112", "smooth112", "proxy_smooth112", _window_stages),
    make_window_case("vanilla", "nonsquare224x336", "smooth224x336", "nonsquare_smooth224x336", _window_stages),
    make_slide_case("vanilla", "slide96x144", "smooth96x144", "syn3", "slide_smooth96x144_c64_s32", (0.0, 0.4)),
    make_slide_case("vanilla", "slide112_c56", "smooth112", "plain5", "slide_smooth112_c56_s28_plain5", (0.0, 0.3)),
    make_slide_case("vanilla", "whole112", "smooth112", "syn3", "whole_smooth112", (0.5,)),
)
