package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"tempera/training/tokenizer/bytelevel"
)

// corpus is a few hundred captions made of a few words.
func corpus() []string {
	var texts []string
	for _, size := range []string{"small", "large", "tiny"} {
		for _, colour := range []string{"red", "green", "blue", "yellow", "purple"} {
			for _, shape := range []string{"circle", "square", "triangle", "star"} {
				texts = append(texts,
					fmt.Sprintf("A %s %s %s.", size, colour, shape),
					fmt.Sprintf("two %s %ss, it's left of a %s thing!", colour, shape, size))
			}
		}
	}
	return append(texts, "日本語の絵文字 👍🏽", "naïve café  \n\n 3.14159")
}

func trained(t testing.TB, o TrainOptions) *Tokenizer {
	t.Helper()
	tok, err := Train(slices.Values(corpus()), o)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTrainingIsDeterministic(t *testing.T) {
	var first []byte
	texts := corpus()
	for range 3 {
		tok, err := Train(slices.Values(texts), TrainOptions{VocabSize: 400})
		if err != nil {
			t.Fatal(err)
		}
		b, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatal("the same texts in another order give another tokenizer")
		}
		slices.Reverse(texts)
	}
}

// TestTrainingMergesTheMostFrequentPair compares with training written down
// plainly: count every pair, merge the best, begin again.
func TestTrainingMergesTheMostFrequentPair(t *testing.T) {
	for _, o := range []TrainOptions{
		{VocabSize: 500},
		{VocabSize: 2000, MinFrequency: 1},
		{VocabSize: 330, Lowercase: true},
		{VocabSize: 2000, MinFrequency: 20, PrefixSpace: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			tok := trained(t, o)
			var m struct{ Merges []string }
			if err := json.Unmarshal(tok.file.Model, &m); err != nil {
				t.Fatal(err)
			}
			got, want := m.Merges, plainTraining(t, tok, o)
			if !slices.Equal(got, want) {
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("merge %d is %q, want %q", i, got[i], want[i])
					}
				}
				t.Fatalf("%d merges, want %d", len(got), len(want))
			}
		})
	}
}

func plainTraining(t *testing.T, tok *Tokenizer, o TrainOptions) []string {
	t.Helper()
	counts, err := countWords(slices.Values(corpus()), o, SpecialNames{}.withDefaults().list())
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]string{}
	ids := map[string]int{}
	for id, name := range tok.names[:4+256] {
		ids[name] = id
	}
	for w := range counts {
		for i := range len(w) {
			words[w] = append(words[w], string(bytelevel.Rune[w[i]]))
		}
	}
	var merges []string
	for len(ids) < o.VocabSize {
		pairs := map[[2]string]int{}
		for w, parts := range words {
			for i := 1; i < len(parts); i++ {
				pairs[[2]string{parts[i-1], parts[i]}] += counts[w]
			}
		}
		all := slices.Collect(maps.Keys(pairs))
		slices.SortFunc(all, func(a, b [2]string) int {
			if d := pairs[b] - pairs[a]; d != 0 {
				return d
			}
			if d := ids[a[0]] - ids[b[0]]; d != 0 {
				return d
			}
			return ids[a[1]] - ids[b[1]]
		})
		if len(all) == 0 || pairs[all[0]] < max(o.MinFrequency, 1) || o.MinFrequency == 0 && pairs[all[0]] < DefaultMinFrequency {
			break
		}
		best := all[0]
		merges = append(merges, best[0]+" "+best[1])
		if _, ok := ids[best[0]+best[1]]; !ok {
			ids[best[0]+best[1]] = len(ids)
		}
		for w, parts := range words {
			var merged []string
			for i := 0; i < len(parts); i++ {
				if i+1 < len(parts) && parts[i] == best[0] && parts[i+1] == best[1] {
					merged = append(merged, parts[i]+parts[i+1])
					i++
					continue
				}
				merged = append(merged, parts[i])
			}
			words[w] = merged
		}
	}
	return merges
}

func TestWordsThatAreFrequentBecomeTokens(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 600})
	for _, word := range []string{"Ġtriangle", "Ġpurple", "Ġleft", "Ġlarge"} {
		if _, ok := tok.ID(word); !ok {
			t.Fatalf("no token %q", word)
		}
	}
	if ids := tok.Encode(" large purple"); len(ids) != 2 {
		t.Fatalf("two known words give %v", ids)
	}
}

func TestSpecialTokens(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 300, Names: SpecialNames{EOS: "</s>"}, Extra: []string{"[THINK]"}, Template: []string{"[BOS]", "$A", "</s>"}})
	s, err := tok.Special(SpecialNames{EOS: "</s>"})
	if err != nil || s != (Special{Pad: 0, BOS: 1, EOS: 2, ENC: 3}) {
		t.Fatalf("got %+v, %v", s, err)
	}
	if _, err := tok.Special(SpecialNames{}); err == nil || !strings.Contains(err.Error(), "no token [EOS] (its added tokens: [PAD], [BOS], </s>, [ENC], [THINK])") {
		t.Fatalf("got %v", err)
	}
	ids := tok.Encode("a[BOS]b</s></s>[THINK]")
	if want := []int32{1, 2, 2, 4}; !slices.Equal(slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return id > 4 }), want) {
		t.Fatalf("got %v", ids)
	}
	if got := tok.Decode(ids); got != "a[BOS]b</s></s>[THINK]" {
		t.Fatalf("got %q", got)
	}
	if got := tok.DecodePlain(ids); got != "ab" {
		t.Fatalf("got %q", got)
	}
	plain := tok.EncodePlain("a[BOS]b</s>")
	if slices.Contains(plain, 1) || slices.Contains(plain, 2) || tok.Decode(plain) != "a[BOS]b</s>" {
		t.Fatalf("text became special: %v", plain)
	}
	if got := tok.Wrap([]int32{7}); !slices.Equal(got, []int32{1, 7, 2}) {
		t.Fatalf("got %v", got)
	}
	if got := tok.Decode([]int32{-1, 1 << 20}); got != "\uFFFD\uFFFD" {
		t.Fatalf("got %q", got)
	}
}

func TestTrainingOptionsThatCannotBe(t *testing.T) {
	_, err := Train(slices.Values(corpus()), TrainOptions{
		VocabSize: 100, MinFrequency: -1, Extra: []string{"[PAD]", "a", ""}, Template: []string{"[CLS]"},
	})
	for _, want := range []string{`"[PAD]" is there twice`, `"a" is a byte's own`, "has no text", "use at least 263", "minimum frequency of -1", `"[CLS]"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v does not say %s", err, want)
		}
	}
	if _, err := Train(slices.Values([]string{"", "[PAD]"}), TrainOptions{}); !errors.Is(err, ErrNoText) {
		t.Fatalf("got %v", err)
	}
}

func TestTheFileReadsBackTheSame(t *testing.T) {
	for name, o := range map[string]TrainOptions{
		"with everything": {VocabSize: 500, Lowercase: true, PrefixSpace: true, Template: []string{"[ENC]", "$A", "[EOS]"}},
		"by default":      {},
	} {
		t.Run(name, func(t *testing.T) {
			tok := trained(t, o)
			first, err := tok.JSON()
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(first)
			if err != nil {
				t.Fatal(err)
			}
			second, err := back.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Fatal("writing what was read gives another file")
			}
			if tok.Size() != back.Size() {
				t.Fatalf("%d and %d tokens", tok.Size(), back.Size())
			}
			for _, text := range append(corpus(), "[BOS] Zebra\xff\x00 [PAD]") {
				if a, b := tok.Encode(text), back.Encode(text); !slices.Equal(a, b) || !slices.Equal(tok.Wrap(a), back.Wrap(b)) {
					t.Fatalf("%q gives %v and %v", text, a, b)
				}
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	good, err := trained(t, TrainOptions{VocabSize: 300}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"another model", `"type": "BPE"`, `"type": "Neural"`, "model: type Neural is not known, only [BPE Unigram WordLevel WordPiece]"},
		{"another version", `"version": "1.0"`, `"version": "2.0"`, "only 1.0"},
		{"another pre-tokenizer", `"pre_tokenizer": {
    "type": "ByteLevel"`, `"pre_tokenizer": {
    "type": "Whitespaces"`, "pre-tokenizer: type Whitespaces is not known"},
		{"another normalizer", `"normalizer": null`, `"normalizer": {"type": "NFX"}`, "normalizer: type NFX is not known"},
		{"another post-processor", `"post_processor": null`, `"post_processor": {"type": "BertProcessing"}`, "needs cls and sep"},
		{"dropout", `"dropout": null`, `"dropout": 0.1`, "random"},
		{"two tokens with one id", `"[BOS]": 1`, `"[BOS]": 0`, "same id"},
		{"an id out of range", `"[BOS]": 1`, `"[BOS]": 99999999`, "ids are 0 to"},
		{"a merge of nothing", `"merges": [`, `"merges": ["zz zz",`, `no token "zz"`},
		{"an added token without a text", `"content": "[BOS]"`, `"content": ""`, "no text"},
		{"a decoder without a type", `"decoder": {
    "type": "ByteLevel",`, `"decoder": {`, "decoder: it has no type"},
		{"a cut file", `"model"`, ``, "tokenizer.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(string(good), c.old, c.new, 1)
			if bad == string(good) {
				t.Fatal("the file has nothing to replace")
			}
			if _, err := Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestMergesMayBePairs(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 300})
	b, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	m := f["model"].(map[string]any)
	for i, line := range m["merges"].([]any) {
		left, right, _ := strings.Cut(line.(string), " ")
		m["merges"].([]any)[i] = []string{left, right}
	}
	if b, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	back, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if text := corpus()[3]; !slices.Equal(back.Encode(text), tok.Encode(text)) {
		t.Fatal("pairs merge otherwise than lines")
	}
}

func TestEncodingConcurrently(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 400})
	text := strings.Join(corpus(), " ")
	want := trained(t, TrainOptions{VocabSize: 400}).Encode(text)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if !slices.Equal(tok.Encode(text), want) {
				t.Error("another goroutine's words change the ids")
			}
		})
	}
	wg.Wait()
}

func TestTheConfigNamesTheSpecialTokens(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 300, Names: SpecialNames{EOS: "</s>"}})
	got, err := tok.ConfigJSON(SpecialNames{EOS: "</s>"}, 64)
	want := `{
  "tokenizer_class": "PreTrainedTokenizerFast",
  "model_max_length": 64,
  "pad_token": "[PAD]",
  "bos_token": "[BOS]",
  "eos_token": "</s>",
  "clean_up_tokenization_spaces": false
}
`
	if err != nil || string(got) != want {
		t.Fatalf("got %s, %v", got, err)
	}
	if _, err := tok.ConfigJSON(SpecialNames{}, 64); err == nil {
		t.Fatal("a tokenizer without [EOS] names it")
	}
}

func TestAnUnknownTokenMustBeThereUnlessBytesAreAll(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{`{"type":"ByteLevel","add_prefix_space":false}`, ""},
		{`null`, `the unknown token "<u>" is not in the vocabulary`},
	} {
		_, err := Parse([]byte(`{"pre_tokenizer":` + c.words + `,"model":{"type":"BPE","unk_token":"<u>","vocab":{"a":0},"merges":[]}}`))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Fatalf("%s gives %v", c.words, err)
		}
	}
}
