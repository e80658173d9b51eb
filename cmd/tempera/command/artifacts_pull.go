package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tempera/infra/artifact"
)

func artifactsPullCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pull <artifact> [folder]",
		Short: "Copy an artifact or a folder of the bucket to this machine; files that are there are kept",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			f, err := resolve(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			dir := "."
			if len(args) == 2 {
				dir = args[1]
			}
			files, err := pullFiles(cmd.Context(), s, f)
			if err != nil {
				return err
			}
			var done struct {
				Folder string `json:"folder"`
				Files  int    `json:"files"`
				Bytes  int64  `json:"bytes"`
				Kept   int    `json:"kept"`
			}
			done.Folder = dir
			for _, file := range files {
				n, err := file.save(cmd.Context(), dir)
				if err != nil {
					return err
				}
				if n < 0 {
					done.Kept++
					continue
				}
				done.Files, done.Bytes = done.Files+1, done.Bytes+n
			}
			return a.print(done, func(w io.Writer) {
				fmt.Fprintf(w, "%d files, %s, into %s; %d were there already\n", done.Files, bytesText(done.Bytes), dir, done.Kept)
			})
		},
	}
}

// remote is a file to fetch.
type remote struct {
	path   string // relative, below the target folder
	size   int64
	digest artifact.Digest // "" where it is not known
	open   func(ctx context.Context) (io.ReadCloser, error)
}

func pullFiles(ctx context.Context, s artifact.Store, f found) ([]remote, error) {
	var files []remote
	if f.Manifest != nil {
		for _, file := range f.Manifest.Files {
			files = append(files, remote{file.Path, file.Size, file.Digest, func(ctx context.Context) (io.ReadCloser, error) {
				return s.Open(ctx, file.Digest)
			}})
		}
		return files, nil
	}
	base := f.Name[:strings.LastIndex(strings.TrimSuffix(f.Name, "/"), "/")+1]
	for n, err := range s.List(ctx, f.Name) {
		if err != nil {
			return nil, err
		}
		files = append(files, remote{strings.TrimPrefix(n.Name, base), n.Size, "", func(ctx context.Context) (io.ReadCloser, error) {
			r, _, err := s.Read(ctx, n.Name)
			return r, err
		}})
	}
	if len(files) == 0 {
		return nil, wrong(fmt.Errorf("%s: %w", f.Name, artifact.ErrNotFound))
	}
	return files, nil
}

// save writes the file below dir under a temporary name that is renamed when
// whole. It returns -1 where a file with the same content was there.
func (r remote) save(ctx context.Context, dir string) (n int64, err error) {
	if !filepath.IsLocal(r.path) {
		return 0, wrong(fmt.Errorf("%q would lie outside %s", r.path, dir))
	}
	target := filepath.Join(dir, filepath.FromSlash(r.path))
	if r.same(target) {
		return -1, nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return 0, err
	}
	in, err := r.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.CreateTemp(filepath.Dir(target), ".pull-*")
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), target)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("fetch %s: %w", r.path, err), os.Remove(out.Name()))
	}
	return n, nil
}

// same reports whether the target holds these bytes already.
func (r remote) same(target string) bool {
	info, err := os.Stat(target)
	if err != nil || info.Size() != r.size || r.digest == "" {
		return false
	}
	f, err := os.Open(target)
	if err != nil {
		return false
	}
	defer f.Close()
	h := artifact.NewHash()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return h.Ref().Digest == r.digest
}
