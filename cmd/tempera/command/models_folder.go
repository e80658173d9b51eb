package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tempera/activities"
	"tempera/infra/artifact"
	"tempera/training/checkpoint"
	"tempera/training/hf"
	"tempera/workflows/stage"
)

func modelsImportCommand(a *app) *cobra.Command {
	var version, alias, license string
	c := &cobra.Command{
		Use:   "import <folder> <name>",
		Short: "Publish a model folder of Hugging Face's layout from this machine as models/<name>/<version>",
		Long: "The folder holds config.json, model.safetensors (or several files and an index) and tokenizer.json.\nArchitectures: " +
			strings.Join(hf.Names(), ", ") + ".\n\nA pipeline takes the model as input by model:<name>@<version or alias>.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			p := publication{name: args[1], params: map[string]string{"name": args[1], "version": version, "alias": alias, "license": license}}
			done, err := importFolder(cmd.Context(), s, hf.Dir(args[0]), p)
			if err != nil {
				return err
			}
			return a.print(done, func(w io.Writer) { fmt.Fprintf(w, "%s is model:%s@%s\n", args[0], args[1], done.Digest.Short()) })
		},
	}
	c.Flags().StringVar(&version, "version", "", "name of the version; left out, it follows from the digest")
	c.Flags().StringVar(&alias, "alias", artifact.Candidate, "alias that is moved to it: none, candidate or champion")
	c.Flags().StringVar(&license, "license", "", "licence, as Hugging Face writes it, e.g. apache-2.0")
	return c
}

// publication is how an imported model is published.
type publication struct {
	name   string
	params map[string]string
}

// importFolder stores a folder as a model and publishes it, as the stages
// import_model and publish do.
func importFolder(ctx context.Context, s artifact.Store, folder hf.Folder, p publication) (artifact.Artifact, error) {
	raw, err := artifact.EncodeJSON(p.params)
	if err != nil {
		return artifact.Artifact{}, err
	}
	publish, err := kindNamed("publish")
	if err != nil {
		return artifact.Artifact{}, err
	}
	params, err := publish.Check(raw) // before anything is stored
	if err != nil {
		return artifact.Artifact{}, wrong(err)
	}
	model, err := activities.ImportModel(ctx, s, folder)
	if err != nil {
		return model, inputFault(err)
	}
	scratch, err := os.MkdirTemp("", "tempera-import-*")
	if err != nil {
		return model, err
	}
	task := &activities.Task{
		Request: stage.Request{
			Pipeline: p.name, Run: "models import", Stage: "publish", Kind: "publish", Params: params,
			Inputs: map[string][]artifact.Artifact{"model": {model}},
		},
		Store: s, Log: slog.New(slog.DiscardHandler), Scratch: scratch, Progress: func(activities.Progress) {}, Result: &stage.Result{},
	}
	err = publish.Run(ctx, task)
	return model, inputFaultOrNil(errors.Join(err, os.RemoveAll(scratch)))
}

func kindNamed(name string) (activities.Kind, error) {
	for _, k := range activities.All() {
		if k.Describe().Name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("there is no kind %q", name)
}

func modelsExportCommand(a *app) *cobra.Command {
	var dtype string
	var shard float64
	c := &cobra.Command{
		Use:   "export <model> <folder>",
		Short: "Write a model for Hugging Face's transformers into a folder of this machine",
		Long: `The model is <name>@<version or alias>, a name alone (its champion, else its newest version),
or an artifact's digest, model@sha256:...`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := exportOptions(dtype, shard)
			if err != nil {
				return err
			}
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			files, err := exportModel(cmd.Context(), s, modelExport{args[0], args[1], o})
			if err != nil {
				return err
			}
			return a.print(files, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintf(w, "%s\t%s\n", bytesText(f.Bytes), filepath.Join(args[1], f.Name))
				}
			})
		},
	}
	c.Flags().StringVar(&dtype, "dtype", "float32", "type of the weights: float32, bfloat16 or float16")
	c.Flags().Float64Var(&shard, "shard-gb", 5, "most gigabytes of a file of weights")
	return c
}

func exportOptions(dtype string, gigabytes float64) (hf.Options, error) {
	types := map[string]checkpoint.DType{"float32": checkpoint.F32, "bfloat16": checkpoint.BF16, "float16": checkpoint.F16}
	t, ok := types[dtype]
	if !ok {
		return hf.Options{}, wrong(fmt.Errorf("dtype is %q: use float32, bfloat16 or float16", dtype))
	}
	if !(gigabytes >= 0.001 && gigabytes <= 1000) {
		return hf.Options{}, wrong(fmt.Errorf("shard-gb is %v: use 0.001 to 1000", gigabytes))
	}
	return hf.Options{DType: t, ShardBytes: int64(gigabytes * 1e9)}, nil
}

// modelExport is a model to write into a folder.
type modelExport struct {
	ref, folder string
	options     hf.Options
}

// exportedFile is a file that was written.
type exportedFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

func exportModel(ctx context.Context, s artifact.Store, e modelExport) (_ []exportedFile, err error) {
	a, texts, err := exportedModel(ctx, s, e.ref)
	if err != nil {
		return nil, err
	}
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, inputFault(err)
	}
	scratch, err := os.MkdirTemp("", "tempera-export-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	var files []exportedFile
	dir := hf.ToDir(e.folder)
	to := func(name string, write func(io.Writer) error) error {
		if err := dir(name, write); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(e.folder, name))
		if err != nil {
			return err
		}
		files = append(files, exportedFile{name, info.Size()})
		return nil
	}
	err = activities.ExportModel(ctx, s, m, activities.ModelExport{To: to, Texts: texts, Options: e.options, Scratch: scratch})
	return files, inputFaultOrNil(err)
}

// exportedModel finds a model by a digest or by what it is published as; of the
// latter it returns the card.
func exportedModel(ctx context.Context, s artifact.Store, ref string) (artifact.Artifact, map[string][]byte, error) {
	if strings.Contains(ref, "sha256:") {
		f, err := resolve(ctx, s, ref)
		if err == nil && f.Artifact.Type != artifact.TypeModel {
			err = wrong(fmt.Errorf("%s is a %s, not a model", ref, f.Artifact.Type))
		}
		return f.Artifact, nil, err
	}
	shown, err := showVersion(ctx, s, ref)
	return shown.Artifact, map[string][]byte{hf.CardFile: []byte(shown.Card)}, err
}
