"""The stacked weights are the package's model: the same loss, the same gradients, and back again."""

import pytest
import torch
from odeformer_data import Batch
from odeformer_stacked import Muon, SoftMantissas, Stacked, orthogonal
from torch.nn.functional import cross_entropy, pad

from mechtests.systems.odeformer.equations import Vocabulary
from mechtests.systems.odeformer.package import OdeformerConfig, build

pytest.importorskip("odeformer")

SMALL = OdeformerConfig(
    emb_emb_dim=8, enc_emb_dim=32, dec_emb_dim=32, n_enc_layers=2, n_dec_layers=3, n_enc_heads=4, n_dec_heads=4
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(SMALL).eval()


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(SMALL)


@pytest.fixture(scope="module")
def batch(vocabulary):
    """Random words in two buckets, rows of several lengths in each."""
    generator = torch.Generator().manual_seed(1)
    words, lengths = [], []
    for rows, longest in ((3, 6), (3, 11)):
        length = torch.randint(4, longest + 1, (rows,), generator=generator)
        length[0] = longest
        bucket = torch.randint(20, 400, (rows, longest), generator=generator)
        bucket[:, 0] = vocabulary.end
        bucket[torch.arange(rows), length - 1] = vocabulary.end
        bucket[torch.arange(longest) >= length[:, None]] = vocabulary.pad
        words.append(bucket)
        lengths.append(length)
    return Batch(torch.randint(20, 400, (6, 9, 9), generator=generator), words, lengths)


def package_loss(model, vocabulary, batch):
    widest = max(words.shape[1] for words in batch.words)
    words = torch.cat([pad(part, (0, widest - part.shape[1]), value=vocabulary.pad) for part in batch.words]).T
    lengths = torch.cat(batch.lengths)
    counts = torch.full((len(batch.points),), batch.points.shape[1])
    embedded = model.embedder.compress(model.embedder.embed(batch.points.transpose(0, 1)))
    source = model.encoder("fwd", x=embedded, lengths=counts, causal=False).transpose(0, 1)
    decoded = model.decoder("fwd", x=words, lengths=lengths, causal=True, src_enc=source, src_len=counts)
    asked = torch.arange(len(words))[:, None] < lengths - 1
    right = words[1:][asked[:-1]]
    return model.decoder("predict", tensor=decoded, pred_mask=asked, y=right, get_scores=False)[1]


def test_the_loss_is_the_package_s(model, vocabulary, batch):
    stacked = Stacked(model)
    assert stacked(batch).item() == pytest.approx(package_loss(model, vocabulary, batch).item(), rel=1e-6)


def test_in_double_precision_the_gradients_are_the_package_s(model, vocabulary, batch):
    torch.manual_seed(0)
    double = build(SMALL).double().eval()
    stacked = Stacked(double, torch.float64).double()
    package_loss(double, vocabulary, batch).backward()
    stacked(batch).backward()
    theirs = {name: parameter.grad for name, parameter in double.named_parameters()}
    ours = Stacked(double).double()
    ours.take(theirs | {"decoder.proj.weight": theirs["decoder.embeddings.weight"]})
    for name in ours.names():
        expected, found = ours[name].detach(), stacked[name].grad
        # The package takes its loss in single precision.
        assert torch.linalg.norm(found - expected) <= 1e-5 * torch.linalg.norm(expected), name


def test_in_bfloat16_the_loss_is_within_one_percent(model, batch):
    assert Stacked(model, torch.bfloat16)(batch).item() == pytest.approx(Stacked(model)(batch).item(), rel=1e-2)


def test_the_package_s_weights_come_back(model):
    whole, expected = Stacked(model).whole(), model.state_dict()
    assert whole.keys() == expected.keys()
    assert all(torch.equal(whole[name], expected[name]) for name in expected)


def test_taking_other_weights_replaces_all_of_them(model):
    torch.manual_seed(1)
    other = build(SMALL)
    stacked = Stacked(model)
    stacked.take(other.state_dict())
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in stacked.whole().items())


def test_muon_s_steps_are_orthogonal_and_of_the_stated_size():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(2, 3 * 8, 8))
    orthonormal = torch.linalg.qr(torch.randn(2, 2, 3, 8, 8)).Q
    sizes = torch.linspace(0.3, 1.0, 8)
    weight.grad = (orthonormal[0] * sizes @ orthonormal[1]).flatten(1, 2)
    Muon([(weight, 3)], lr=1.0).step()
    singular = torch.linalg.svdvals(weight.detach().unflatten(1, (3, 8))) / (0.2 * 8**0.5)
    assert ((singular > 0.6) & (singular < 1.3)).all()


def test_orthogonal_keeps_the_singular_vectors():
    matrix = torch.randn(1, 6, 10, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ orthogonal(matrix) @ v.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_soft_mantissas_prefer_neighbours_to_strangers():
    loss, right = SoftMantissas(10, 900, 0.05), torch.tensor([10 + 100])  # the number 200
    near, far = torch.zeros(2, 1, 1000)
    near[0, 10 + 105], far[0, 10 + 600] = 5.0, 5.0
    assert loss(near, right) < loss(far, right)
    assert cross_entropy(near, right) == cross_entropy(far, right)


def test_soft_mantissas_leave_other_words_and_hard_targets_alone():
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    words, mantissas = torch.tensor([0, 5, 9, 950]), torch.tensor([10, 500, 909, 3])
    assert SoftMantissas(10, 900, 0.05)(logits, words) == pytest.approx(cross_entropy(logits, words).item(), rel=1e-6)
    assert SoftMantissas(10, 900, 0.0)(logits, mantissas) == cross_entropy(logits, mantissas)
