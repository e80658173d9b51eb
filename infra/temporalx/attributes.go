package temporalx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// VerifySearchAttributes fails, with the command that mends it, where the
// namespace lacks a search attribute that runs set or has it with another type.
func VerifySearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	missing, wrong, err := compareAttributes(ctx, c, namespace)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range wrong {
		faults = append(faults, fmt.Errorf("search attribute %s of namespace %q has another type: want %s", name, namespace, SearchAttributes()[name]))
	}
	if len(missing) > 0 {
		var args strings.Builder
		for _, name := range missing {
			fmt.Fprintf(&args, " --name %s --type %s", name, SearchAttributes()[name])
		}
		faults = append(faults, fmt.Errorf("namespace %q lacks search attributes: run `tempera dev up`, or `temporal operator search-attribute create -n %s%s`", namespace, namespace, args.String()))
	}
	return errors.Join(faults...)
}

// RegisterSearchAttributes adds the search attributes that are missing and
// waits until the server knows them. Doing it again changes nothing.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	missing, wrong, err := compareAttributes(ctx, c, namespace)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return VerifySearchAttributes(ctx, c, namespace)
	}
	if len(missing) == 0 {
		return nil
	}
	add := map[string]enums.IndexedValueType{}
	for _, name := range missing {
		add[name] = SearchAttributes()[name]
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: add})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register search attributes %s in namespace %q: %w", strings.Join(missing, ", "), namespace, err)
	}
	for {
		if missing, _, err = compareAttributes(ctx, c, namespace); err != nil || len(missing) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for search attributes %s: %w", strings.Join(missing, ", "), ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func compareAttributes(ctx context.Context, c client.Client, namespace string) (missing, wrong []string, err error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, nil, fmt.Errorf("list search attributes of namespace %q: %w", namespace, err)
	}
	want := SearchAttributes()
	for _, name := range searchAttributeNames() {
		kind, ok := have.GetCustomAttributes()[name]
		switch {
		case !ok:
			missing = append(missing, name)
		case kind != want[name]:
			wrong = append(wrong, name)
		}
	}
	return missing, wrong, nil
}
