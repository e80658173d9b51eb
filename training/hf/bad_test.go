package hf

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"tempera/training/checkpoint"
	"tempera/training/model"
)

func TestASettingThatChangesTheModelIsNamed(t *testing.T) {
	for _, c := range []struct {
		folder, key string
		value       any
		want        string
	}{
		{"gpt2", "activation_function", "relu", `activation_function is "relu": supported are gelu`},
		{"gpt2", "scale_attn_by_inverse_layer_idx", true, "scale_attn_by_inverse_layer_idx is true"},
		{"gpt2", "scale_attn_weights", false, "scale_attn_weights is false: only true"},
		{"gpt2", "add_cross_attention", true, "add_cross_attention"},
		{"gpt2", "n_layer", 0, "n_layer is 0"},
		{"gpt2", "n_head", 5, "text.width is 32, not a multiple of text.heads, 5"},
		{"gpt2", "n_embd", "wide", "n_embd is \"wide\": it must be a whole number"},
		{"gpt2", "n_positions", 1.5, "n_positions is 1.5"},
		{"llama", "hidden_act", "gelu", `hidden_act is "gelu"`},
		{"llama", "attention_bias", true, "attention_bias is true and mlp_bias is not"},
		{"llama", "mlp_bias", true, "mlp_bias is true and attention_bias is not"},
		{"llama", "quantization_config", map[string]any{"bits": 4}, "quantization_config"},
		{"llama", "auto_map", map[string]any{"AutoModel": "x.Y"}, "auto_map"},
		{"llama", "final_logit_softcapping", 30.0, "final_logit_softcapping is 30"},
		{"llama", "rope_scaling", map[string]any{"rope_type": "longrope"}, `rope_scaling.rope_type is "longrope"`},
		{"llama", "rope_scaling", map[string]any{"rope_type": "linear"}, "rope_scaling.factor is missing"},
		{"llama", "rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8}, "rope_scaling.low_freq_factor is missing"},
		{"llama", "rope_scaling", map[string]any{"type": "yarn", "factor": 8, "mscale": 1}, "rope_scaling.mscale"},
		{"llama", "rope_scaling", "linear", "rope_scaling is \"linear\": it must be an object"},
		{"llama", "rope_parameters", map[string]any{"rope_theta": 1e4, "partial_rotary_factor": 0.5}, "rope_parameters.partial_rotary_factor"},
		{"llama", "eos_token_id", "end", "eos_token_id is \"end\": it must be a token id"},
		{"llama", "num_key_value_heads", 3, "text.kv_heads"},
		{"llama", "vocab_size", 4e9, "vocab_size is 4e+09"},
		{"llama", "num_hidden_layers", 1e7, "num_hidden_layers is 10000000, more than the 4096"},
		{"qwen2", "layer_types", []string{"full_attention", "sliding_attention"}, "layer_types"},
		{"clip", "projection_dim", -1, "projection_dim is -1"},
		{"siglip", "vision_config", map[string]any{"vision_use_head": false}, "vision_config.vision_use_head is false"},
		{"siglip", "vision_config", map[string]any{"num_channels": 1}, "vision_config.num_channels is 1"},
		{"siglip", "text_config", map[string]any{"projection_size": 20}, "text_config.projection_size is 20"},
		{"gpt2", "architectures", []string{"MambaForCausalLM"}, `"MambaForCausalLM" is not supported: use one of GPT2LMHeadModel, LlamaForCausalLM, Qwen2ForCausalLM, CLIPModel, SiglipModel`},
		{"gpt2", "architectures", 3, "architectures is 3"},
	} {
		t.Run(c.folder+" "+c.key+" "+c.want, func(t *testing.T) {
			_, err := Open(FS(configure(t, files(t, c.folder), func(m map[string]any) { m[c.key] = c.value })))
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 4000)
		})
	}
}

func TestUnknownSettingsThatChangeNothingAreIgnored(t *testing.T) {
	src := open(t, FS(configure(t, files(t, "qwen2"), func(m map[string]any) {
		m["_name_or_path"], m["my_note"], m["id2label"], m["partial_rotary_factor"] = "x", 1, map[string]any{"0": "a"}, 1.0
		m["layer_types"] = []string{"full_attention", "full_attention"}
		m["use_sliding_window"], m["max_window_layers"] = true, 2 // from a layer on that there is not
		delete(m, "architectures")
	})))
	require.Equal(t, open(t, testFolder("qwen2")).Config, src.Config)
}

func TestRopeParametersOfNewFoldersAreThoseOfOldOnes(t *testing.T) {
	src := open(t, FS(configure(t, files(t, "llama"), func(m map[string]any) {
		p := m["rope_scaling"].(map[string]any)
		p["rope_theta"] = m["rope_theta"]
		m["rope_parameters"] = p
		delete(m, "rope_scaling")
		delete(m, "rope_theta")
	})))
	require.Equal(t, open(t, testFolder("llama")).Config, src.Config)
}

func TestWeightsThatContradictTheConfigurationNameTensorAndShapes(t *testing.T) {
	_, err := Open(FS(configure(t, files(t, "llama"), func(m map[string]any) { m["intermediate_size"] = 48 })))
	require.ErrorContains(t, err, "tensor model.layers.0.mlp.down_proj.weight is [32 56], config.json describes one of [32 48]")
	require.ErrorContains(t, err, "tensor model.layers.1.mlp.gate_proj.weight is [56 32], config.json describes one of [48 32]")
	_, err = Open(FS(configure(t, files(t, "gpt2"), func(m map[string]any) { m["n_layer"] = 3 })))
	require.ErrorContains(t, err, "tensor transformer.h.2.attn.c_attn.bias is missing: config.json describes one of [96]")
	_, err = Open(FS(configure(t, files(t, "gpt2"), func(m map[string]any) { m["n_layer"] = 1 })))
	require.ErrorContains(t, err, "tensor transformer.h.1.attn.c_attn.bias is not one of a GPT2LMHeadModel")
	_, err = Open(FS(configure(t, files(t, "qwen2"), func(m map[string]any) { m["architectures"] = []string{"LlamaForCausalLM"} })))
	require.ErrorContains(t, err, "model.layers.0.self_attn.q_proj.bias is not one of a LlamaForCausalLM")
	_, err = Open(FS(configure(t, files(t, "llama"), func(m map[string]any) { m["num_hidden_layers"] = 40 })))
	require.ErrorContains(t, err, "more")
	require.Less(t, strings.Count(err.Error(), "\n"), 25)
}

func TestAFolderThatLacksSomethingSaysWhat(t *testing.T) {
	for name, c := range map[string]struct {
		change func(tree fstest.MapFS)
		want   string
	}{
		"no config":             {func(f fstest.MapFS) { delete(f, ConfigFile) }, "no config.json"},
		"a config that is cut":  {func(f fstest.MapFS) { f[ConfigFile].Data = f[ConfigFile].Data[:50] }, "config.json: unexpected end"},
		"a config that is null": {func(f fstest.MapFS) { f[ConfigFile].Data = []byte("null") }, "not an object"},
		"a config of a kind":    {func(f fstest.MapFS) { f[ConfigFile].Data = []byte(`{"model_type":"mamba"}`) }, `of model_type "mamba" is not supported: use one of`},
		"no weights":            {func(f fstest.MapFS) { delete(f, checkpoint.SingleFile) }, "neither model.safetensors nor model.safetensors.index.json"},
		"weights that are cut":  {func(f fstest.MapFS) { f[checkpoint.SingleFile].Data = f[checkpoint.SingleFile].Data[:9000] }, "not a sound safetensors file"},
		"a header that is cut":  {func(f fstest.MapFS) { f[checkpoint.SingleFile].Data = f[checkpoint.SingleFile].Data[:100] }, "not a sound safetensors file"},
		"a shard that is missing": {func(f fstest.MapFS) {
			f[checkpoint.IndexFile] = &fstest.MapFile{Data: []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`)}
		}, "shard model-00001-of-00002.safetensors"},
		"a tokenizer of another model": {func(f fstest.MapFS) {
			f[TokenizerFile] = &fstest.MapFile{Data: []byte(`{"model":{"vocab":{"a":0}},"added_tokens":[{"id":320,"content":"<x>"}]}`)}
		}, "tokenizer.json has 321 tokens, the embedding 320 rows"},
		"a tokenizer that is no JSON": {func(f fstest.MapFS) { f[TokenizerFile] = &fstest.MapFile{Data: []byte(`{`)} }, "tokenizer.json: unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := files(t, "gpt2")
			c.change(tree)
			_, err := Open(FS(tree))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Open(Dir(filepath.Join(t.TempDir(), "nowhere")))
	require.ErrorContains(t, err, "no config.json")
}

func TestOldFoldersHaveBuffersAndNoPrefix(t *testing.T) {
	tree := files(t, "gpt2")
	set, err := openSet(FS(tree))
	require.NoError(t, err)
	var tensors []checkpoint.Tensor
	for _, name := range set.Names() {
		info, _ := set.Info(name)
		v, err := set.Floats(name)
		require.NoError(t, err)
		tensors = append(tensors, checkpoint.Float32(strings.TrimPrefix(name, "transformer."), info.Shape, v))
	}
	head, err := set.Floats("transformer.wte.weight")
	require.NoError(t, err)
	tensors = append(tensors, checkpoint.Float32("h.0.attn.bias", []int{1, 1, 2, 2}, make([]float32, 4)), checkpoint.Float32("h.0.attn.masked_bias", []int{}, make([]float32, 1)))
	write := func(more ...checkpoint.Tensor) fstest.MapFS {
		w := written{maps.Clone(tree)}
		require.NoError(t, w.output(checkpoint.SingleFile, func(out io.Writer) error { return checkpoint.Write(out, nil, append(tensors, more...)) }))
		return w.MapFS
	}
	src := open(t, FS(write(checkpoint.Float32("lm_head.weight", []int{320, 32}, head))))
	require.Equal(t, files(t, "gpt2")[checkpoint.SingleFile].Data, export(t, src, Options{})[checkpoint.SingleFile].Data)
	_, err = Open(FS(write(checkpoint.Float32("lm_head.weight", []int{320, 32}, make([]float32, len(head))))))
	require.ErrorContains(t, err, "set tie_word_embeddings to false")
}

func TestSpecialTokensAreFoundByTextThenByNumber(t *testing.T) {
	special := func(folder string, change func(tree fstest.MapFS, c map[string]any)) model.Special {
		tree := files(t, folder)
		return open(t, FS(configure(t, tree, func(c map[string]any) { change(tree, c) }))).Config.Text.Special
	}
	put := func(tree fstest.MapFS, name, data string) { tree[name] = &fstest.MapFile{Data: []byte(data)} }
	require.Equal(t, model.Special{Pad: 318, BOS: 317, EOS: 318, ENC: 317}, special("llama", func(fstest.MapFS, map[string]any) {}))
	require.Equal(t, model.Special{Pad: 7, BOS: 317, EOS: 9, ENC: 317}, special("llama", func(f fstest.MapFS, _ map[string]any) {
		put(f, TokenizerFile, `{"model":{"vocab":{"a":0}},"added_tokens":[{"id":9,"content":"<end>"},{"id":7,"content":"<pad>"}]}`)
		put(f, "tokenizer_config.json", `{"eos_token":{"content":"<end>"},"pad_token":"<pad>","bos_token":null}`)
	}))
	require.Equal(t, model.Special{Pad: 319, BOS: 318, EOS: 319, ENC: 318}, special("clip", func(_ fstest.MapFS, c map[string]any) {
		text := c["text_config"].(map[string]any)
		text["eos_token_id"], text["bos_token_id"], text["pad_token_id"] = 2, 0, 1
	}), "the numbers of the first CLIP folders")
	ids := special("gpt2", func(_ fstest.MapFS, c map[string]any) { c["eos_token_id"], c["bos_token_id"] = 0, 0 })
	require.Equal(t, [3]int32{0, 0, 0}, [3]int32{ids.Pad, ids.BOS, ids.EOS})
	ids = special("gpt2", func(_ fstest.MapFS, c map[string]any) { c["eos_token_id"], c["bos_token_id"] = 5, -1 })
	require.Equal(t, model.Special{Pad: 5, BOS: 5, EOS: 5, ENC: 5}, ids)
}

func TestAModelWithoutAFormSaysWhatToSet(t *testing.T) {
	text := model.Text{Vocab: 300, Context: 8}
	vision := model.Vision{Image: 16}
	for _, c := range []struct {
		name string
		c    model.Config
		want []string
	}{
		{"blip", model.Config{Kind: model.BLIP, Text: text, Vision: vision}, []string{"a model of kind blip has no Hugging Face form here", "CLIPModel"}},
		{"clip as it is by default", model.Config{Kind: model.CLIP, Text: text, Vision: vision}, []string{"no CLIPModel form", "vision.form is vit, it must be clip", "text.causal is false, it must be true", "text.pool is mean, it must be last"}},
		{"a gated gpt2", model.Config{Kind: model.LM, Text: model.Text{Vocab: 300, Context: 8, MLP: model.Gated}}, []string{"no GPT2LMHeadModel form", "text.mlp is gated, it must be plain"}},
		{"experts", model.Config{Kind: model.LM, Text: model.Text{Vocab: 300, Context: 8, Form: model.Llama, Experts: &model.Experts{Count: 4, Active: 2}}}, []string{"text.experts"}},
		{"LoRA", model.Config{Kind: model.LM, Text: model.Text{Vocab: 300, Context: 8, Form: model.Llama}, LoRA: &model.LoRA{}}, []string{"lora", "merge it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Exportable(c.c)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			w := written{fstest.MapFS{}}
			require.Error(t, Write(w.output, c.c, nil, Options{}))
			require.Empty(t, w.MapFS)
		})
	}
	for _, form := range []model.Form{model.GPT2, model.Llama, model.Qwen2} {
		require.NoError(t, Exportable(model.Config{Kind: model.LM, Text: model.Text{Vocab: 300, Context: 8, Form: form}}), form)
	}
}

func TestWhatIsWrittenOnDiskIsReadFromDisk(t *testing.T) {
	src := open(t, testFolder("clip"))
	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, Write(ToDir(dir), src.Config, src, Options{Files: map[string][]byte{CardFile: []byte("# mine\n")}}))
	require.Equal(t, src.Config, open(t, Dir(dir)).Config)
	card, err := os.ReadFile(filepath.Join(dir, CardFile))
	require.NoError(t, err)
	require.Equal(t, "# mine\n", string(card))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "nothing is left over: %v", entries)

	broken := errors.New("broken")
	require.ErrorIs(t, Write(func(string, func(io.Writer) error) error { return broken }, src.Config, src, Options{}), broken)
}

func TestAFetchedFolderAsksForEachFileOnce(t *testing.T) {
	asked := map[string]int{}
	f := Fetched(t.TempDir(), func(name string) (io.ReadCloser, error) {
		asked[name]++
		return os.Open(filepath.Join("testdata", "llama", name))
	})
	src := open(t, f)
	require.Equal(t, open(t, testFolder("llama")).Config, src.Config)
	open(t, f)
	require.Equal(t, 1, asked[checkpoint.SingleFile])
	require.Equal(t, 1, asked[ConfigFile])
}

func TestTheWrittenTokenizerConfigurationNamesTheSpecialTokens(t *testing.T) {
	src := open(t, testFolder("llama"))
	tok := []byte(`{"model":{"vocab":{"a":0}},"added_tokens":[{"id":317,"content":"<s>"},{"id":318,"content":"</s>"}]}`)
	back := export(t, src, Options{Files: map[string][]byte{TokenizerFile: tok}})
	require.JSONEq(t, `{"tokenizer_class":"PreTrainedTokenizerFast","model_max_length":64,"clean_up_tokenization_spaces":false,"bos_token":"<s>","eos_token":"</s>","pad_token":"</s>"}`, string(back["tokenizer_config.json"].Data))
	require.JSONEq(t, `{"bos_token_id":317,"eos_token_id":318,"pad_token_id":318}`, string(back[GenerationFile].Data))
	require.Contains(t, string(back[CardFile].Data), "pipeline_tag: text-generation")
	require.Equal(t, string(tok), string(back[TokenizerFile].Data))
}

func TestTheNormalisationOfPixelsIsReadAndWritten(t *testing.T) {
	put := func(data string) fstest.MapFS {
		tree := files(t, "clip")
		tree[imagesFile] = &fstest.MapFile{Data: []byte(data)}
		return tree
	}
	src := open(t, FS(put(`{"image_mean":[0.48,0.45,0.4],"image_std":[0.26,0.27,0.28],"rescale_factor":0.00392156862745098}`)))
	require.Equal(t, [3]float64{0.48, 0.45, 0.4}, src.Config.Vision.Mean)
	require.Equal(t, [3]float64{0.26, 0.27, 0.28}, src.Config.Vision.Std)
	require.Equal(t, src.Config, open(t, FS(export(t, src, Options{}))).Config)
	require.Zero(t, open(t, FS(export(t, open(t, testFolder("clip")), Options{}))).Config.Vision.Std, "a half is what is not said")
	for data, want := range map[string]string{
		`{"do_normalize":false}`: "preprocessor_config.json: do_normalize is false", `{"image_mean":[1]}`: "image_mean has 1 numbers",
		`{"rescale_factor":1}`: "rescale_factor is 1", `{"image_std":[0,1,1]}`: "vision.std", `[]`: "preprocessor_config.json",
	} {
		_, err := Open(FS(put(data)))
		require.ErrorContains(t, err, want)
	}
}

func FuzzOpen(f *testing.F) {
	var weights []byte
	for _, name := range folders {
		config, err := os.ReadFile(filepath.Join("testdata", name, ConfigFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(config, []byte(`{"model":{"vocab":{"a":0}},"added_tokens":[{"id":9,"content":"<end>"}]}`))
		if weights, err = os.ReadFile(filepath.Join("testdata", name, checkpoint.SingleFile)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, config, tokenizer []byte) {
		src, err := Open(FS(fstest.MapFS{
			ConfigFile: {Data: config}, TokenizerFile: {Data: tokenizer}, checkpoint.SingleFile: {Data: weights},
		}))
		if err != nil {
			return
		}
		require.NoError(t, Write(written{fstest.MapFS{}}.output, src.Config, src, Options{Files: src.Files}))
		require.NoError(t, src.Close())
	})
}
