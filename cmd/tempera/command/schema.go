package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"tempera/activities"
	"tempera/workflows/dag"
)

func schemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of run files, with every kind of stage",
		Long: `Print the JSON Schema of run files, for editors: save it and begin a file with
  # yaml-language-server: $schema=path/to/schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := dag.Schema(catalog())
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.out, string(schema))
			return err
		},
	}
}

// catalog knows the kinds of this build.
func catalog() *activities.Catalog { return activities.NewCatalog(activities.All()...) }
