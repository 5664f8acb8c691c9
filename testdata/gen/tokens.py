"""Golden values for the feature step `tokens`, made by Hugging Face's tokenizers:

    python3 testdata/gen/tokens.py > testdata/golden/tokens.json

Pinned: tokenizers 0.22.2. Holds the merges that are learned from some texts, files `tokenizer.json` of several kinds, and the
token numbers that each gives of some hard texts.
"""
import json
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TRAIN = [
    "The sun rose over the harbor, and the boats went out one after the other.",
    "She said that the boats wouldn't come back before the storm; they'd rather wait outside.",
    "Over and over the waves hit the wall of the harbor. The wall held, the boats didn't.",
    "In 1987 the harbor had 120 boats, in 2003 there were 37, and now there're 12 of them.",
    "Der Hafen liegt still. Über dem Wasser hängt Nebel, und die Möwen schlafen noch.",
    "Les bateaux étaient déjà partis à l'aube, malgré la brume et le vent du nord.",
    "A quiet wait, a loud return: boats, boats, boats!   And then the storm was over...",
    "\tTabs and\n\nnew lines stand   here, too.\r\n",
    "港は静かだ。船は海の上にいる。",
    "नाव बंदरगाह में है। नाव समुद्र में है।",
]
TEST = TRAIN[:2] + [
    "", " ", "   ", "a", "the boats", " the boats", "THE BOATS over THE harbor", "unbelievably-outside!!", "don't they're we'll I'd",
    "12345 1987x ½ Ⅷ ①", "é e\u0301 ÉTÉ Ｆｕｌｌ ﬁ", "港の船 boats港boats", "नाव में", "tab\tnew\nline\r\n  end  ", "  two  spaces  ",
    "emoji 🙂🙂🏽 and \u200b zero \ufeff width \u00a0 spaces\u3000", "a_b-c+d=e$f^g`h|i~j<k>", "nul \0 and \x7f and \x85 controls \ufffd",
    "x" * 120 + " y", "[UNK] <unk> [SEP] ##er", "ıİßẞǅ", "\u0301 alone", "… “quoted” — dashes – ‘single’",
]


def rows(tokenizer):
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEST]


def learned(size, least, lowercase):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=size, min_frequency=least, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def word_pieces(normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TRAIN, trainers.WordPieceTrainer(
        vocab_size=180, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding()
    return tokenizer


def characters(fuse):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace()])
    tokenizer.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=160, special_tokens=["<unk>"], limit_alphabet=40, show_progress=False))
    return tokenizer


def given(tokenizer):
    file = json.loads(tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Special tokens in texts are not looked for.
    texts = [t for t in TEST if "[UNK]" not in t]
    return {"file": file, "texts": texts, "rows": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]}


byte_pairs = learned(330, 2, False)
golden = {
    "train": TRAIN,
    "test": TEST,
    "learned": [
        {
            "parameters": {"vocabulary": size, "min_count": least, "lowercase": lowercase},
            "merges": json.loads(learned(size, least, lowercase).to_str())["model"]["merges"],
            "rows": rows(learned(size, least, lowercase)),
        }
        for size, least, lowercase in [(600, 2, False), (300, 3, True)]
    ],
    "given": [
        given(byte_pairs),
        given(word_pieces(normalizers.BertNormalizer(lowercase=True))),
        given(word_pieces(normalizers.BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False))),
        given(word_pieces(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]))),
        given(characters(True)),
        given(characters(False)),
    ],
}
json.dump(golden, sys.stdout, ensure_ascii=True, separators=(",", ":"))
print()
