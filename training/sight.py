"""Stage 8: seeing (`python -m training.sight WORK --seconds 1080`): a stock `CLIPModel` of this small world, pictures and words in one space.

What the engine's `--best`, `--clip`, `/describe` and search look with, and whose vision tower reads image prompts (`training.image_prompts`).
Contrastive as CLIP is (Radford et al. 2021, arXiv:2103.00020), with what a known world adds on top:

- Captions that are true of another picture of the batch are no negatives for it (`training.claims`).
- Every picture is also held against the names of all things, grounds and styles, in the same space: that is how `/describe` asks.
- A throw-away head names the thing on every patch, one layer below the last: 64 lessons a picture, where a caption is one.
- Until near the end most of the patches are left out (FLIP, Li et al. 2023, arXiv:2212.00794): more pictures seen in the time.
- Words begin from MiniLM's own embeddings, and keep learning from it (`training.meanings`).
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import nn
from transformers import BertTokenizer, CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from training import heldout, text_encoder
from training.claims import PATCHES, Claims, Names
from training.common import Log, autocast, begin, ema_update, load_whole, parameters, save_whole, warmup_cosine
from training.gallery import Gallery
from training.meanings import lessons
from training.places import EDGE
from training.scenes import GRID, Painter, article
from training.sprites import load
from training.texts import Script

#: Length of what both towers say.
SAYS = 256
WIDTH = 192
VISION = {"hidden_size": WIDTH, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6, "hidden_act": "silu"}
TEXT = {"hidden_size": WIDTH, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 6, "hidden_act": "silu"}
#: Patches a picture keeps in training, and the share of the time after which it keeps them all.
KEPT, WHOLE_AFTER = 24, 0.8
#: Seconds after which what was learnt is saved.
KEEP_EVERY = 60
#: Share of the steps that look from elsewhere, off the grid.
MOVED = 0.25
#: By picture of a step: texts of which the teacher's meaning is taught, and pairs of sentences, one with a word no caption has.
WORDS, PAIRS = 5 / 12, 1 / 6
#: Logarithm of the largest scale of the cosines: CLIP's 100.
LOUDEST = 4.6052
#: OpenAI's CLIP, as its processor has them.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


# ------------------------------------------------------------------------------------------------ the network


def build(tokenizer: Any) -> Any:
    """A `CLIPModel` that reads with this WordPiece tokenizer. Its text tower is pooled at the first [SEP], which the tokenizer always sets; what follows is
    padding, which its causal attention never looks at. Raises ValueError for a tokenizer whose [SEP] transformers would not find.
    """
    ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
    if tokenizer.sep_token_id == 2:
        raise ValueError("an end token of number 2 is what old CLIP files had by mistake: transformers then pools elsewhere")
    text = {**TEXT, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": text_encoder.LENGTH, "projection_dim": SAYS}
    vision = {**VISION, "image_size": EDGE, "patch_size": GRID, "projection_dim": SAYS}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=SAYS))


@torch.no_grad()
def ease(model: Any, pictures: torch.Tensor, pieces: torch.Tensor) -> None:
    """A start from which it learns fast: patches by their whitened principal components, word pieces arranged as the teacher's embeddings are.

    `pictures` as `normalised` makes them; `pieces` is vocabulary × the teacher's width.
    """
    patches = F.unfold(pictures, GRID, stride=GRID).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
    sizes = values[-WIDTH:].clamp(min=0).sqrt()
    seen = model.vision_model.embeddings
    seen.patch_embedding.weight.copy_((0.2 * vectors[:, -WIDTH:] / (sizes + 0.02 * sizes[-1] + 1e-6)).T.reshape(WIDTH, 3, GRID, GRID))
    seen.position_embedding.weight.normal_(std=0.1)
    centred = pieces - pieces.mean(0)
    main = centred @ torch.linalg.svd(centred, full_matrices=False)[2][:WIDTH].T
    model.text_model.embeddings.token_embedding.weight[:, : main.shape[1]] = 0.06 * main / main.std()


def to_unit(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) pictures → float (N, 3, H, W) in 0..1, in the processor's memory."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float().contiguous() / 255


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) in 0..1 → what the vision tower takes."""
    mean, deviation = (torch.tensor(each, device=pictures.device).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    return (pictures - mean) / deviation


def see(model: Any, pictures: torch.Tensor, kept: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised pictures → their embeddings (N × SAYS, not of length 1) and the patches' states one layer below the last (N × patches × WIDTH).

    The stock vision tower's own modules in its own order, except that only the patches numbered `kept` (N × some) go through when it is given.
    """
    vision = model.vision_model
    hidden = vision.pre_layrnorm(vision.embeddings(pictures) if kept is None else _embedded(vision.embeddings, pictures, kept))
    *early, last = vision.encoder.layers
    for layer in early:
        hidden = layer(hidden, None)
    return model.visual_projection(vision.post_layernorm(last(hidden, None)[:, 0])), hidden[:, 1:]


def _embedded(embeddings: Any, pictures: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """What the stock module makes of the class token and the patches `kept`, without a look at the others."""
    across = pictures.shape[-1] // GRID
    cut = pictures.unfold(2, GRID, GRID).unfold(3, GRID, GRID).permute(0, 2, 3, 1, 4, 5)
    patches = cut[torch.arange(len(kept), device=kept.device)[:, None], kept // across, kept % across].flatten(2)
    places = embeddings.position_embedding.weight
    first = (embeddings.class_embedding + places[0]).expand(len(kept), 1, -1)
    return torch.cat([first, F.linear(patches, embeddings.patch_embedding.weight.flatten(1)) + places[kept + 1]], 1)


def read(model: Any, tokenizer: Any, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts → their embeddings (N × SAYS, of length 1) and the text tower's states before the projection (N × WIDTH)."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=text_encoder.LENGTH, return_tensors="pt")
    return understood(model, tokens.input_ids.to(model.device))


def understood(model: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `read`, of tokens (N × length) that end with [SEP], then padding."""
    pooled = model.text_model(input_ids=tokens).pooler_output
    return F.normalize(model.text_projection(pooled).float(), dim=-1), pooled


# ------------------------------------------------------------------------------------------------ what is taught


def softened(pictures: torch.Tensor, seeded: torch.Generator) -> torch.Tensor:
    """(N, 3, H, W) in 0..1 as a generator may leave them: softer, a little lighter or darker, a third of them noisy. `seeded` is where they are."""
    soft, light, noise = torch.rand(3, len(pictures), 1, 1, 1, generator=seeded, device=seeded.device)
    coarser = F.avg_pool2d(pictures, (2, 4)[seeded.initial_seed() % 2])  # luck that the processor knows: to ask a GPU for it would keep both waiting
    blurred = F.interpolate(coarser, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
    out: torch.Tensor = torch.lerp(pictures, blurred, soft.square()) * (0.9 + 0.2 * light)
    out[::3] += 0.06 * noise[::3] * torch.randn(out[::3].shape, generator=seeded, device=seeded.device)  # as slow as anything else here
    return out


def shifted(pictures: torch.Tensor, seeded: torch.Generator) -> torch.Tensor:
    """(N, 3, H, W), each seen from a little nearer or further and to one side: what others draw does not stand on our grid. `seeded` is where they are."""
    size, right, down = torch.rand(3, len(pictures), generator=seeded, device=seeded.device)
    size = 0.75 + 0.35 * size
    room = (1 - size).abs() + 0.06
    turn = torch.zeros(len(pictures), 2, 3, device=seeded.device)
    turn[:, 0, 0] = turn[:, 1, 1] = size
    turn[:, 0, 2], turn[:, 1, 2] = room * (2 * right - 1), room * (2 * down - 1)
    grid = F.affine_grid(turn, list(pictures.shape), align_corners=False)
    moved: torch.Tensor = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return moved


def agreement(seen: torch.Tensor, said: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """InfoNCE both ways; of what is also true (`fits`, pictures × captions) nothing is asked. Scaled N × SAYS and N × SAYS."""
    logits = (seen @ said.T).masked_fill(fits & ~torch.eye(len(fits), dtype=torch.bool, device=fits.device), -1e4)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@dataclass(frozen=True, slots=True)
class Losses:
    """Of one step, by what they teach."""

    agreement: torch.Tensor
    naming: torch.Tensor
    patches: torch.Tensor
    meaning: torch.Tensor

    def total(self) -> torch.Tensor:
        return self.agreement + 0.5 * self.naming + 0.5 * self.patches + self.meaning


class Student(nn.Module):
    """The network, with the two heads that are thrown away when it is saved."""

    def __init__(self, tokenizer: Any, names: Names, teacher_width: int) -> None:
        super().__init__()
        self.model, self.names = build(tokenizer), names
        self.what_is_there = nn.Linear(WIDTH, len(names.things) + 1)
        self.what_is_meant = nn.Linear(WIDTH, teacher_width)

    def losses(self, pictures: torch.Tensor, pick: np.ndarray, claims: Claims, script: Script, whole: bool, rng: Generator) -> Losses:
        """Of the scenes numbered `pick`, whose pictures are (N, 3, H, W) in 0..1. `whole`: no patch is left out. All are where the network is."""
        device, count = pictures.device, len(pictures)
        seeded = torch.Generator(device).manual_seed(int(rng.integers(2**31)))
        moved = rng.random() < MOVED
        softer = softened(shifted(pictures, seeded) if moved else pictures, seeded)
        kept = None if whole else torch.rand(count, PATCHES, generator=seeded, device=device).argsort(1)[:, :KEPT]
        strange, known, sure = script.likened(max(1, int(PAIRS * count)), rng)
        told, meant = script.taught(max(1, int(WORDS * count)), rng)
        with autocast(device):
            seen, inner = see(self.model, normalised(softer), kept)
            shown = self.what_is_there(inner)
            said, _ = understood(self.model, script.tokens(np.concatenate([script.captions[pick], strange, known])))
            named, _ = understood(self.model, script.tokens(script.names(rng)))
            _, pooled = understood(self.model, script.tokens(told))
            thought = self.what_is_meant(pooled)
        seen = F.normalize(seen.float(), dim=-1) * self.model.logit_scale.clamp(max=LOUDEST).exp()
        own, of_strange, of_known = torch.split(said, [count, len(strange), len(known)])
        unlike = (sure * (1 - F.cosine_similarity(of_strange, of_known.detach()))).sum() / max(1, len(sure))
        numbers = torch.from_numpy(pick).to(device)
        # What each patch shows is known only where it was painted.
        there = claims.patches[numbers] if kept is None else claims.patches[numbers].gather(1, kept)
        return Losses(
            agreement=agreement(seen, own, claims.fits(numbers, numbers)),
            naming=self._naming(seen @ named.T, claims, numbers),
            patches=F.cross_entropy(shown.float().flatten(0, 1), there.flatten()) * (not moved),
            meaning=(1 - F.cosine_similarity(thought.float(), meant)).mean() + unlike,
        )

    def _naming(self, near: torch.Tensor, claims: Claims, numbers: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each picture's things, ground and style among all of them; two things should share alike."""
        things, grounds, styles = self.names.split(near)
        share = F.normalize(claims.things[numbers], p=1)
        right = F.cross_entropy(things, share)
        return right + 0.5 * F.cross_entropy(grounds, claims.ground[numbers]) + 0.5 * F.cross_entropy(styles, claims.style[numbers])


def train(
    work: Path, seconds: float, steps: int, batch: int = 96, lr: float = 1.2e-3, seed: int = 8, threads: int = 0, whole_after: float = WHOLE_AFTER
) -> list[float]:
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more; saves `work/sight` with the averaged weights. Returns the losses."""
    device = begin(seed, threads)
    names, checkpoint = Names.of_world(), work / "sight.pt"
    state: dict[str, Any] = load_whole(checkpoint, device) if checkpoint.exists() else {"step": 0, "seconds": 0.0}
    first, before = state["step"], state["seconds"]
    rng = np.random.default_rng(seed + first)
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    scenes = Gallery(work, device)
    taught = lessons(work, tokenizer, rng)
    claims = Claims.of(scenes.words, names).to(device)
    script = Script(tokenizer, [str(scene["caption"]) for scene in scenes.words], names, taught, rng, device)
    student = Student(tokenizer, names, taught.meant.shape[1])
    ease(student.model, normalised(scenes.pictures(rng.integers(0, len(scenes), 400)).cpu()), taught.pieces)
    student = student.to(device)
    average = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    if "model" in state:
        for part, kept in ((student, "model"), (average, "ema"), (optimizer, "optimizer")):
            part.load_state_dict(state[kept])
    print(f"{parameters([student.model]):.2f} M parameters, {len(scenes)} scenes, {len(taught.pairs)} words for known ones, from step {first}", flush=True)
    losses: list[float] = []
    waiting: list[torch.Tensor] = []
    log, started, order = Log(work / "sight.jsonl"), time.time(), np.empty(0, np.int64)
    saved = started

    def note(found: Losses) -> None:
        """Read the losses that wait: now and then, since a GPU that is asked stands still."""
        more = {name: getattr(found, name).item() for name in Losses.__slots__}
        for loss in torch.stack(waiting).tolist():
            losses.append(loss)
            log.step(first + len(losses), loss, **more)
        waiting.clear()

    def keep() -> None:
        now = {"step": first + len(losses), "seconds": before + time.time() - started}
        save_whole({"model": student.state_dict(), "ema": average.state_dict(), "optimizer": optimizer.state_dict(), **now}, checkpoint)
        finish(work, average.model, tokenizer)

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        while len(order) < batch:
            order = np.concatenate([order, rng.permutation(len(scenes))])
        pick, order = order[:batch], order[batch:]
        found = student.losses(scenes.pictures(pick), pick, claims, script, done > whole_after, rng)
        loss = found.total()
        for group in optimizer.param_groups:
            group["lr"] = lr * min(warmup_cosine(int(done * 10_000), 10_000, warmup=1), (first + step + 1) / 100)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        ema_update(average, student, first + step, 0.995)
        waiting.append(loss.detach())
        if (first + step + 1) % log.every == 0 or step + 1 == steps:
            note(found)
        if not waiting and time.time() - saved > KEEP_EVERY:
            keep()
            saved = time.time()
    if waiting:
        note(found)
    keep()
    return losses


def finish(work: Path, model: Any, tokenizer: Any) -> None:
    """Save `work/sight` in fp16: the network, its tokenizer, and how it wants to see pictures."""
    folder = work / "sight"
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE}).save_pretrained(folder)


# ------------------------------------------------------------------------------------------------ how good


class Eyes:
    """The saved folder, to look and read with. Pictures are uint8 (N, EDGE, EDGE, 3)."""

    def __init__(self, work: Path, device: torch.device | str = "cpu") -> None:
        self.names = Names.of_world()
        kind: Any = CLIPModel
        self.model = kind.from_pretrained(work / "sight", dtype=torch.float32).requires_grad_(False).to(device)
        self.tokenizer: Any = BertTokenizer.from_pretrained(work / "sight")
        self.named = self.read([phrase for group in self.names.phrases() for phrase in group])

    def see(self, pictures: np.ndarray) -> torch.Tensor:
        """N × SAYS, of length 1, in the processor's memory."""
        parts = (to_unit(pictures[k : k + 64]).to(self.model.device) for k in range(0, len(pictures), 64))
        return torch.cat([F.normalize(see(self.model, normalised(part))[0], dim=-1).cpu() for part in parts])

    def read(self, texts: list[str]) -> torch.Tensor:
        """N × SAYS, of length 1, in the processor's memory."""
        return torch.cat([read(self.model, self.tokenizer, texts[k : k + 256])[0].cpu() for k in range(0, len(texts), 256)])

    def scores(self, pictures: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Cosines with the names of all things, grounds and styles."""
        return self.names.split(self.see(pictures) @ self.named.T)


def measure(work: Path, count: int = 1_000, seed: int = 77_777) -> dict[str, float]:
    """Retrieval and naming on `count` scenes painted now, and words no caption has, by the saved folder; written to `work/sight_metrics.json`.

    r1, r5: how often a picture's own caption is among its nearest one or five of all captions, and the other way round, averaged; in `fair_…` any caption that
    is true of it counts. thing: how often the name of the only (kind of) thing comes first of all; two_things: both names of a pair come first.
    """
    eyes, painter = Eyes(work, begin(seed)), Painter(load(work), seed)
    scenes = [painter.scene() for _ in range(count)]
    pictures, captions = np.stack([scene.pixels for scene in scenes]), [scene.caption for scene in scenes]
    claims = Claims.of([dataset_row(scene) for scene in scenes], eyes.names)
    near, everyone = eyes.see(pictures) @ eyes.read(captions).T, torch.arange(count)
    out = {"scenes": float(count)}
    for title, right in (("r", torch.eye(count, dtype=torch.bool)), ("fair_r", claims.fits(everyone, everyone))):
        for k in (1, 5):
            out[f"{title}{k}"] = (_among(near, right, k) + _among(near.T, right.T, k)) / 2
    things, grounds, styles = eyes.scores(pictures)
    single = claims.things.sum(1) == 1
    out["thing"] = _among(things[single], claims.things[single] > 0, 1)
    out["two_things"] = float((claims.things[~single].gather(1, things[~single].topk(2).indices).sum(1) == 2).float().mean())
    out["ground"], out["style"] = ((score.argmax(1) == right).float().mean().item() for score, right in ((grounds, claims.ground), (styles, claims.style)))
    asked = heldout.synonyms(eyes.names.things)
    meant = eyes.read([article(word) for word, _ in asked]) @ eyes.names.split(eyes.named.T)[0]
    right = torch.tensor([[name == thing for name in eyes.names.things] for _, thing in asked])
    out |= {f"synonyms_{k}": _among(meant, right, k) for k in (1, 5)}
    out = {name: round(value, 4) for name, value in out.items()}
    (work / "sight_metrics.json").write_text(json.dumps(out, indent=1) + "\n")
    return out


def dataset_row(scene: Any) -> dict[str, Any]:
    """A painted scene as `training.dataset` notes it."""
    things = [[each.name, each.x, each.y, each.edge, each.mirrored] for each in scene.things]
    return {"caption": scene.caption, "kind": scene.kind, "things": things, "relation": scene.relation, "place": scene.place, "style": scene.style}


def _among(near: torch.Tensor, right: torch.Tensor, k: int) -> float:
    """How often one of a row's `k` nearest is right."""
    return float(right.gather(1, near.topk(k).indices).any(1).float().mean())


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=1_080)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=96)
    parse.add_argument("--lr", type=float, default=1.2e-3)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--whole-after", type=float, default=WHOLE_AFTER, help="share of the time after which pictures keep all their patches")
    parse.add_argument("--measured", type=int, default=1_000, help="scenes painted to measure with, 0: it is not measured")
    given = vars(parse.parse_args())
    measured = given.pop("measured")
    train(**given)
    if measured:
        print(json.dumps(measure(given["work"], measured)))
