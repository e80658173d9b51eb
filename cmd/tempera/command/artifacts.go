package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tempera/infra/artifact"
)

func artifactsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "artifacts",
		Short: "Find and fetch what runs have made",
		Long: `An artifact is named by its digest (sha256:..., or model@sha256:...), by what it is
published as (model:blip@champion, dataset:captions@<version>), or by a name in the
bucket (runs/capfilt/run-7/report.html).`,
	}
	c.AddCommand(artifactsListCommand(a), artifactsShowCommand(a), artifactsCatCommand(a), artifactsPullCommand(a), artifactsGCCommand(a))
	return c
}

// entry is one line of `artifacts list`: a name, or a folder of names.
type entry struct {
	Name     string    `json:"name"` // a folder ends with /
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"` // of the newest file
}

func artifactsListCommand(a *app) *cobra.Command {
	var deep bool
	c := &cobra.Command{
		Use:   "list [prefix]",
		Short: "List a folder of the bucket; without a prefix models, datasets and runs",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			prefixes := []string{"models/", "datasets/", "runs/", "aliases/"}
			depth := 3 // models/<name>/<version>/
			if len(args) == 1 {
				prefixes = []string{strings.TrimPrefix(args[0], "/")}
				depth = strings.Count(strings.TrimSuffix(prefixes[0], "/"), "/") + 2
			}
			if deep {
				depth = 1 << 20
			}
			entries, err := list(cmd.Context(), s, prefixes, depth)
			if err != nil {
				return err
			}
			return a.print(entries, func(w io.Writer) { showEntries(w, entries) })
		},
	}
	c.Flags().BoolVarP(&deep, "recursive", "r", false, "every file, not folders")
	return c
}

// list sums names by their first depth path elements.
func list(ctx context.Context, s artifact.Names, prefixes []string, depth int) ([]entry, error) {
	found := []entry{}
	for _, prefix := range prefixes {
		for n, err := range s.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			name := n.Name
			if parts := strings.Split(name, "/"); len(parts) > depth {
				name = strings.Join(parts[:depth], "/") + "/"
			}
			last := len(found) - 1
			if last < 0 || found[last].Name != name {
				found = append(found, entry{Name: name})
				last++
			}
			e := &found[last]
			e.Files++
			e.Bytes += n.Size
			if n.Modified.After(e.Modified) {
				e.Modified = n.Modified
			}
		}
	}
	return found, nil
}

func showEntries(w io.Writer, entries []entry) {
	if len(entries) == 0 {
		fmt.Fprintln(w, "nothing there")
		return
	}
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{e.Name, fmt.Sprint(e.Files), bytesText(e.Bytes), clock(e.Modified)})
	}
	table(w, []string{"NAME", "FILES", "SIZE", "MODIFIED"}, rows)
}

// found is what a reference stands for: a manifest, or one name of the bucket.
type found struct {
	Artifact artifact.Artifact  `json:"artifact,omitzero"`
	Manifest *artifact.Manifest `json:"manifest,omitempty"`
	Name     string             `json:"name,omitempty"`
}

// resolve finds what a reference stands for. A digest that holds no manifest is
// an error; cat takes those too.
func resolve(ctx context.Context, s artifact.Store, ref string) (found, error) {
	kind, digest, typed := strings.Cut(ref, "@")
	if !typed {
		kind, digest = "", ref
	}
	if strings.HasPrefix(digest, "sha256:") {
		d, err := artifact.ParseDigest(digest)
		if err != nil {
			return found{}, wrong(err)
		}
		return byManifest(ctx, s, artifact.Artifact{Type: kind, Digest: d})
	}
	if strings.Contains(ref, ":") && !strings.Contains(ref, "/") {
		published, err := artifact.ParsePublished(ref)
		if err != nil {
			return found{}, wrong(err)
		}
		v, err := artifact.FindVersion(ctx, s, published)
		if err != nil {
			return found{}, inputFault(err)
		}
		return byManifest(ctx, s, v.Artifact)
	}
	return found{Name: strings.TrimPrefix(ref, "/")}, nil
}

func byManifest(ctx context.Context, s artifact.Store, a artifact.Artifact) (found, error) {
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return found{}, inputFault(err)
	}
	a.Type = m.Type
	return found{Artifact: a, Manifest: m}, nil
}

// inputFault marks what naming another artifact would mend.
func inputFault(err error) error {
	if errors.Is(err, artifact.ErrTransient) || errors.Is(err, artifact.ErrPermission) || errors.Is(err, artifact.ErrNoBucket) {
		return err
	}
	return wrong(err)
}

func artifactsShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show <artifact>",
		Short: "Show the files of an artifact",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			f, err := resolve(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			if f.Manifest == nil {
				entries, err := list(cmd.Context(), s, []string{f.Name}, 1<<20)
				if err != nil {
					return err
				}
				if len(entries) == 0 {
					return wrong(fmt.Errorf("%s: %w", f.Name, artifact.ErrNotFound))
				}
				return a.print(entries, func(w io.Writer) { showEntries(w, entries) })
			}
			return a.print(f, func(w io.Writer) { showManifest(w, f) })
		},
	}
}

func showManifest(w io.Writer, f found) {
	fmt.Fprintf(w, "%s@%s\n", f.Artifact.Type, f.Artifact.Digest)
	if len(f.Manifest.Meta) > 0 {
		fmt.Fprintf(w, "%s\n", f.Manifest.Meta)
	}
	var rows [][]string
	for _, file := range f.Manifest.Files {
		records := ""
		if file.Records > 0 {
			records = fmt.Sprint(file.Records)
		}
		rows = append(rows, []string{file.Path, bytesText(file.Size), records, file.Digest.Short()})
	}
	table(w, []string{"FILE", "SIZE", "RECORDS", "DIGEST"}, rows)
}

func artifactsCatCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cat <artifact> [file]",
		Short: "Write a file of an artifact, a blob or a name of the bucket to standard output",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			r, err := openRef(cmd.Context(), s, args)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			if _, err := io.Copy(a.out, r); err != nil {
				return fmt.Errorf("read %s: %w", strings.Join(args, " "), err)
			}
			return nil
		},
	}
}

func openRef(ctx context.Context, s artifact.Store, args []string) (io.ReadCloser, error) {
	if len(args) == 1 && strings.HasPrefix(args[0], "sha256:") { // any blob, a manifest or not
		d, err := artifact.ParseDigest(args[0])
		if err != nil {
			return nil, wrong(err)
		}
		r, err := s.Open(ctx, d)
		return r, inputFaultOrNil(err)
	}
	f, err := resolve(ctx, s, args[0])
	if err != nil {
		return nil, err
	}
	if f.Manifest == nil {
		r, _, err := s.Read(ctx, path.Join(append([]string{f.Name}, args[1:]...)...))
		return r, inputFaultOrNil(err)
	}
	if len(args) == 1 {
		names := make([]string, 0, len(f.Manifest.Files))
		for _, file := range f.Manifest.Files {
			names = append(names, file.Path)
		}
		return nil, wrong(fmt.Errorf("%s has %d files: name one of %s", args[0], len(names), strings.Join(names[:min(len(names), 20)], ", ")))
	}
	file, err := f.Manifest.Find(args[1])
	if err != nil {
		return nil, wrong(err)
	}
	r, err := s.Open(ctx, file.Digest)
	return r, inputFaultOrNil(err)
}

func inputFaultOrNil(err error) error {
	if err == nil {
		return nil
	}
	return inputFault(err)
}
