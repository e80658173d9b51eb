package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tempera/infra/artifact"
)

func modelsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "models",
		Short: "Published models: their versions, cards and aliases, and folders of transformers in and out",
		Long: `Stages of the kind publish put models into models/<name>/<version>/ and move their
aliases. A pipeline takes one as input by model:<name>@<version or alias>;
tempera artifacts pull fetches it.`,
	}
	c.AddCommand(modelsListCommand(a), modelsShowCommand(a), modelsAliasCommand(a), modelsImportCommand(a), modelsExportCommand(a))
	return c
}

// listedVersion is one line of `models list`.
type listedVersion struct {
	artifact.Version
	Aliases []string `json:"aliases"`
}

func modelsListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [name]",
		Short: "List versions, the newest first, with the aliases that stand for them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			versions, err := listVersions(cmd.Context(), s, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return a.print(versions, func(w io.Writer) { showVersions(w, versions) })
		},
	}
}

func listVersions(ctx context.Context, s artifact.Names, name string) ([]listedVersion, error) {
	all, err := artifact.Versions(ctx, s, artifact.TypeModel, name)
	if err != nil {
		return nil, err
	}
	listed := []listedVersion{}
	aliases := map[string]artifact.Alias{} // of the model at hand
	for i, v := range all {
		if i == 0 || all[i-1].Name != v.Name {
			if aliases, err = artifact.ReadAliases(ctx, s, v.Name); err != nil {
				return nil, err
			}
		}
		listed = append(listed, listedVersion{v, aliasesOf(aliases, v.Version)})
	}
	return listed, nil
}

// aliasesOf are the aliases that stand for a version.
func aliasesOf(aliases map[string]artifact.Alias, version string) []string {
	found := []string{}
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		if aliases[name].Version == version {
			found = append(found, name)
		}
	}
	return found
}

func showVersions(w io.Writer, versions []listedVersion) {
	if len(versions) == 0 {
		fmt.Fprintln(w, "nothing is published")
		return
	}
	var rows [][]string
	for _, v := range versions {
		state := strings.Join(v.Aliases, ", ")
		if !v.Complete {
			state = "half published"
		}
		rows = append(rows, []string{v.Name, v.Version.Version, state, clock(v.Published), v.By.Run})
	}
	table(w, []string{"MODEL", "VERSION", "ALIASES", "PUBLISHED", "RUN"}, rows)
}

// shownVersion is what `models show` tells.
type shownVersion struct {
	artifact.Version
	Folder  string                    `json:"folder"`
	Aliases map[string]artifact.Alias `json:"aliases"` // those that stand for the version, with their evidence
	Card    string                    `json:"card"`
}

func modelsShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show <name>[@<version or alias>]",
		Short: "Show the card of a version and the evidence of its aliases; without a version the champion, else the newest",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			shown, err := showVersion(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			return a.print(shown, func(w io.Writer) {
				for _, alias := range slices.Sorted(maps.Keys(shown.Aliases)) {
					e := shown.Aliases[alias].Evidence
					fmt.Fprintf(w, "%s: %s (run %s)\n", alias, e.Reason, e.Run)
				}
				fmt.Fprintf(w, "%s\n\n%s", shown.Folder, shown.Card)
			})
		},
	}
}

func showVersion(ctx context.Context, s artifact.Names, ref string) (shownVersion, error) {
	v, err := findModel(ctx, s, ref)
	if err != nil {
		return shownVersion{}, err
	}
	shown := shownVersion{Version: v, Folder: v.File("") + "/"}
	if shown.Aliases, err = artifact.ReadAliases(ctx, s, v.Name); err != nil {
		return shown, err
	}
	maps.DeleteFunc(shown.Aliases, func(_ string, to artifact.Alias) bool { return to.Version != v.Version })
	r, _, err := s.Read(ctx, v.File("README.md"))
	if err != nil {
		return shown, inputFault(err)
	}
	card, err := io.ReadAll(r)
	shown.Card = string(card)
	return shown, errors.Join(err, r.Close())
}

// findModel finds <name>@<version or alias>; a name alone is its champion, or its
// newest version where it has none.
func findModel(ctx context.Context, s artifact.Names, ref string) (artifact.Version, error) {
	ref = strings.TrimPrefix(ref, artifact.TypeModel+":")
	if name, _, ok := strings.Cut(ref, "@"); !ok {
		ref = name + "@" + artifact.Champion
		aliases, err := artifact.ReadAliases(ctx, s, name)
		if err != nil {
			return artifact.Version{}, err
		}
		if _, ok := aliases[artifact.Champion]; !ok {
			versions, err := artifact.Versions(ctx, s, artifact.TypeModel, name)
			if err != nil {
				return artifact.Version{}, err
			}
			if i := slices.IndexFunc(versions, func(v artifact.Version) bool { return v.Complete }); i >= 0 {
				return versions[i], nil
			}
		}
	}
	r, err := artifact.ParsePublished(artifact.TypeModel + ":" + ref)
	if err != nil {
		return artifact.Version{}, wrong(err)
	}
	v, err := artifact.FindVersion(ctx, s, r)
	return v, inputFaultOrNil(err)
}

func modelsAliasCommand(a *app) *cobra.Command {
	var expect, why string
	c := &cobra.Command{
		Use:   "alias <name> <alias> <version>",
		Short: "Make an alias stand for a version, which another alias may name",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			v, err := findModel(cmd.Context(), s, args[0]+"@"+args[2])
			if err != nil {
				return err
			}
			to := artifact.Alias{Version: v.Version, Evidence: artifact.Evidence{
				Run: v.By.Run, Reason: reasonByHand(why), Evaluation: v.Evaluation, Model: &v.Artifact,
			}}
			change := artifact.AliasChange{Model: v.Name, Alias: args[1], To: to}
			if cmd.Flags().Changed("expect") {
				change.Expect = &expect
			}
			if err := artifact.SetAlias(cmd.Context(), s, change); err != nil {
				return inputFault(err)
			}
			return a.print(to, func(w io.Writer) { fmt.Fprintf(w, "%s of %s is %s\n", args[1], v.Name, to.Version) })
		},
	}
	c.Flags().StringVar(&expect, "expect", "", `only if the alias stands for this version now ("": for none)`)
	c.Flags().StringVar(&why, "why", "", "the reason, kept as evidence")
	return c
}

// reasonByHand says who moved an alias, and why.
func reasonByHand(why string) string {
	reason := "by hand"
	if u, err := user.Current(); err == nil {
		reason += " of " + u.Username
	}
	if why != "" {
		reason += ": " + why
	}
	return reason
}
