"""The network with its preparation: batches as they come in, scores as they go out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from skclr._process import enlist, side_by_side
from skclr._training._pieces import cut, draw_nothing, fewest_to_share
from skclr._training._state import PredictionState
from skclr.lenet import blocks_shared_by, cross_entropy_at_once

Answer: TypeAlias = "torch.Tensor | tuple[Any, ...]"
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

INFERENCE_BATCH_SIZE = 512
_OF_SHAPES = (RuntimeError, AssertionError, IndexError)  # in which networks refuse images
NO_COMPILER = (
    "compile=True needs a C++ compiler and the headers of Python, and torch.compile found no "
    "working ones. Install them (Debian: g++ and python3-dev; macOS: xcode-select --install; "
    "Windows: Visual Studio's C++ tools), or set compile=False. Nothing has been trained."
)


class Network:
    """A module that is given images as they come in, whole batches or pieces of them.

    Parameters
    ----------
    module : torch.nn.Module
        Called with images of shape (n, channels, height, width) in the dtype of its weights,
        returns scores of shape (n, n_classes), or a tuple that begins with them.
    state : PredictionState
        Tells how images are prepared, and how many classes there are.
    device : torch.device, str or None
        Where batches are moved to; None: they stay where they are.
    """

    def __init__(
        self,
        module: nn.Module,
        state: PredictionState,
        device: torch.device | str | None,
    ):
        self.module = module
        self.state = state
        self.given_device = device
        self._preparation = state.preparation()
        self.device = torch.device(device or "cpu")
        self.dtype = float_dtype(module)
        self._has_answered = False
        self._compiled_modes: set[bool] = set()  # training, or not

    def is_made_of(
        self, module: nn.Module, state: PredictionState, device: torch.device | str | None
    ) -> bool:
        """Tell whether this network is made of these parts, as they are now."""
        return (
            self.module is module
            and self.state is state
            and self.given_device == device
            and self.dtype == float_dtype(module)
        )

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU."""
        return self.device.type == "cpu"

    @property
    def is_compiled(self) -> bool:
        """Whether the module has been given to torch.compile."""
        return getattr(self.module, "_compiled_call_impl", None) is not None

    def cut(self, n: int, *, shared: bool) -> Iterable[slice]:
        """Return where a batch of so many images is cut into pieces."""
        return cut(
            n,
            self.device,
            shared=shared,
            image_size=self.state.image_size,
            fewest=fewest_to_share(self.module),
        )

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Return images in the dtype of the module for images as they came in."""
        images = images if self.given_device is None else images.to(self.device)
        return self._preparation(images).to(self.dtype)

    def answer(self, images: torch.Tensor) -> Answer:
        """Return the module's answer to prepared images.

        Raises
        ------
        ValueError
            If it is not a row a sample and a column a class.
        """
        if self.is_compiled and len(images) > 1:  # else each size of a batch is compiled anew
            torch._dynamo.mark_dynamic(images, 0)
        try:
            with blocks_shared_by(enlist):
                answer = self.module(images)
        except _OF_SHAPES as error:
            if self._has_answered or is_lack_of_compiler(error):
                raise
            raise ValueError(
                f"The network cannot take a batch of images of shape {tuple(images.shape)}, of "
                f"which image_size sets height and width. torch says: {error}"
            ) from error
        self._has_answered = True
        scores = answer[0] if isinstance(answer, tuple) else answer
        expected = (len(images), len(self.state.classes))
        if scores.shape != expected:
            raise ValueError(
                f"module must return scores of shape {expected}, a row a sample and a column a "
                f"class, got {tuple(scores.shape)}."
            )
        return answer

    def cross_entropy(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        n_total: int,
        parameters: Sequence[nn.Parameter],
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]] | None:
        """Return the loss of prepared images, their scores, and gradients of the parameters.

        It is the sum of the losses over `n_total`. Where the network cannot be asked for all of
        that at once, the return is None.
        """
        if self.is_compiled:
            return None
        with blocks_shared_by(enlist):
            outcome = cross_entropy_at_once(self.module, images, targets, n_total, parameters)
        if outcome is None or outcome.logits.shape[1] != len(self.state.classes):
            return None  # which `answer` raises an error for
        self._has_answered = True
        return outcome

    def infer(self, images: torch.Tensor) -> Answer:
        """Return the answer to a batch of images as they came in, cut into pieces if it can be."""
        if torch.is_grad_enabled() or self.module.training:
            return self.answer(self.prepare(images))
        shared = self.on_cpu and draw_nothing(self.module)
        pieces = [images[part] for part in self.cut(len(images), shared=shared)]
        compute = self.side_by_side if shared else in_turn
        answer = join_answers(compute(lambda piece: self.answer(self.prepare(piece)), pieces))
        return _for_numpy(answer)

    def side_by_side(
        self, function: Callable[[_Item], _Result], pieces: Sequence[_Item]
    ) -> list[_Result]:
        """Map by threads; where that compiles the module, in turn, so that it is done once."""
        mode = self.module.training
        if self.is_compiled and mode not in self._compiled_modes:
            self._compiled_modes.add(mode)
            return in_turn(function, pieces)
        return side_by_side(function, pieces)


def float_dtype(module: nn.Module) -> torch.dtype:
    """Return the dtype of the first weights of a module; float32 where it has none."""
    dtypes = (weights.dtype for weights in module.parameters())
    return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)


def in_turn(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Map in turn."""
    return [function(item) for item in items]


def join_answers(answers: Sequence[Any]) -> Any:
    """Return the answers to pieces as one to the whole batch."""
    if len(answers) == 1:
        return answers[0]
    if isinstance(answers[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))
    return torch.cat(list(answers))


def _for_numpy(answer):
    """Return an answer in dtypes that NumPy has, which bfloat16 is not among."""
    if isinstance(answer, tuple):
        return tuple(map(_for_numpy, answer))
    is_brief = isinstance(answer, torch.Tensor) and answer.dtype == torch.bfloat16
    return answer.float() if is_brief else answer


def is_lack_of_compiler(error: BaseException | None) -> bool:
    """Tell whether torch.compile found no C++ compiler, or one that cannot build for Python."""
    while error is not None:
        if type(error).__name__ in ("InvalidCxxCompiler", "CppCompileError"):
            return True
        error = error.__cause__ or error.__context__
    return False


def parameter_names(factory: Callable) -> set[str]:
    """Return the names of the parameters of a class or function; none where it tells none."""
    try:
        return set(inspect.signature(factory).parameters)
    except ValueError:  # a function of C without a signature
        return set()
