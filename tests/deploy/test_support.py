from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from pyg_mpnn.deploy import support


@pytest.mark.parametrize("release", [torch.__version__, "2.99.0"])
def test_a_compiler_is_wanted_on_a_cpu_only(release, monkeypatch):
    """The release of torch decides nothing: what is made is compared before it is used."""
    monkeypatch.setattr(torch, "__version__", release)
    monkeypatch.setenv("CXX", "python3")  # any program that exists
    assert support.why_not(torch.device("cpu")) is None
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no C++ compiler 'no-such-compiler'" in support.why_not(torch.device("cpu"))
    assert support.why_not(torch.device("cuda:1")) is None


@pytest.mark.parametrize(
    ("mode", "asked", "threads"),
    [("off", None, None), ("off", 4, 4), ("auto", None, 1), ("on", None, 1), ("auto", 4, 4), ("on", 4, 4)],
)
def test_one_thread_where_compiled_unless_asked(mode, asked, threads):
    assert support.threads_for(mode, asked) == threads


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("PYG_MPNN_CACHE", "/own")
    assert support.cache_folder() == Path("/own")
    monkeypatch.delenv("PYG_MPNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/user")
    assert support.cache_folder() == Path("/user/pyg_mpnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert support.cache_folder() == Path.home() / ".cache" / "pyg_mpnn"


def test_code_belongs_to_the_settings_that_made_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "cache"))
    folder = support.code_folder()
    assert folder.parent == support.cache_folder()
    assert folder == support.code_folder()
    changed = tmp_path / "support.py"
    changed.write_text(Path(support.__file__).read_text().replace('"threads", 1', '"threads", 2'))
    monkeypatch.setattr(support, "__file__", str(changed))
    assert support.code_folder() not in (folder, support.cache_folder())


def test_code_belongs_to_a_version_of_torch(monkeypatch):
    before = support.machine()
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    assert support.machine() != before
    assert support.digest("a") != support.digest("b")


def test_private_settings_are_given_back(monkeypatch, tmp_path):
    import torch._functorch.config as functorch
    import torch._inductor.codecache as codecache
    import torch._inductor.config as inductor
    import torch._inductor.decomposition as decomposition
    import torch.fx.experimental._config as symbolic
    from torch._inductor.codegen.cpp import CppKernel

    def state():
        return (
            symbolic.use_duck_shape,
            functorch.donated_buffer,
            inductor.pattern_matcher,
            inductor.cpp.threads,
            CppKernel.need_use_acc_helper,
            decomposition.guard_or_false,
            os.environ.get("TORCHINDUCTOR_CACHE_DIR"),
            codecache._HEADER_DIR,
        )

    for folder in (None, "/users/own"):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        if folder is not None:
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", folder)
        before = state()
        with support.tracing(), support.generating(tmp_path):
            inside = state()
        assert state() == before
        assert inside[:4] == (False, False, False, 1)
        assert inside[6] == str(tmp_path)
        assert Path(inside[7]).parent == support.cache_folder(), "not one of all users under /tmp"


def test_a_torch_without_these_settings(monkeypatch, tmp_path):
    """Private settings may go with any release: what is not there is left alone."""
    import torch._functorch.config as functorch

    monkeypatch.setattr(support, "_module", lambda name: functorch if name == "torch._functorch.config" else None)
    before = functorch.donated_buffer
    with support.tracing(), support.generating(tmp_path):
        assert functorch.donated_buffer is False
    assert functorch.donated_buffer == before


@pytest.mark.long
def test_a_package_leaves_no_trace_in_the_settings(tmp_path):
    """What is compiled after it must have the same key in the cache as in a process that loads the package."""
    import torch._inductor.config as inductor

    from pyg_mpnn.deploy.generate import build

    before = inductor.save_config_portable()

    build(torch.nn.Identity(), (torch.ones(3),), (None,), tmp_path / "package.pt2")

    assert inductor.save_config_portable() == before


@pytest.mark.long
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(("settings", "parallel"), [(support.generating, False), (nullcontext, True)])
def test_loops_are_for_one_thread(settings, parallel, tmp_path, monkeypatch):
    """Torch alone adds to atoms from several threads where torch is set to several."""
    from pyg_mpnn.deploy import generate

    class Sum(torch.nn.Module):
        def forward(self, edges, receiver):
            return edges.new_zeros(10, 16).index_add(0, receiver, edges.exp())

    monkeypatch.setattr(generate, "generating", settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        example = torch.ones(10_000, 16), torch.zeros(10_000, dtype=torch.long)
        generate.build(Sum(), example, ({0: torch.export.Dim.DYNAMIC},) * 2, tmp_path / "package.pt2")
    finally:
        torch.set_num_threads(threads)
    with ZipFile(tmp_path / "package.pt2") as package:
        sources = [package.read(name) for name in package.namelist() if name.endswith(".cpp")]
    assert sources
    assert any(b"omp parallel" in source for source in sources) == parallel
    assert any(b"atomic_add" in source for source in sources) == parallel


@pytest.mark.long
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(("settings", "compilations"), [(support.generating, 1), (nullcontext, 3)])
def test_the_example_decides_nothing(settings, compilations, tmp_path):
    """A product of 21 + 8 numbers and a sum of 21 serve any length; torch alone has a limit for both below 5000."""
    counters = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    before = counters["unique_graphs"]
    compiled = torch.compile(lambda column, row: (column @ row, column.sum()))
    with settings(tmp_path), support.tracing():
        column, row = torch.ones(21, 1), torch.ones(1, 8)
        torch._dynamo.mark_dynamic(column, 0)
        compiled(column, row)
    for length in (21, 100, 5000):
        product, total = compiled(torch.ones(length, 1), row)
        assert product.shape == (length, 8)
        assert float(total) == length
    assert counters["unique_graphs"] - before == compilations


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiling_a_potential_from_outside_names_its_own_method(fullgraph, water):
    from pyg_mpnn import Potential

    torch._dynamo.reset()  # which skips what has failed before
    compiled = torch.compile(Potential.from_size("small"), backend="eager", fullgraph=fullgraph)
    with pytest.raises(Exception, match=r"potential\.compile\(\)"):
        compiled(water.z, water.pos)
