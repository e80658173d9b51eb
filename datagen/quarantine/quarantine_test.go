package quarantine

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/sample"
)

func TestParseBudget(t *testing.T) {
	for in, want := range map[string]string{"1%": "1%", "0.5 %": "0.5%", "3": "3", "0": "0", "100%": "100%"} {
		b, err := ParseBudget(in)
		require.NoError(t, err)
		require.Equal(t, want, b.String())
	}
	for _, in := range []string{"", "-1", "101%", "NaN%", "x", "%"} {
		_, err := ParseBudget(in)
		require.ErrorContains(t, err, ": use a ", in)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name      string
		good, bad int
		budget    string
		want      string
	}{
		{"nothing bad", 5, 0, "0", ""},
		{"nothing at all", 0, 0, "0", ""},
		{"within a percentage", 99, 1, "1%", ""},
		{"above a percentage", 98, 2, "1%", "2 of 100, and max_bad is 1%"},
		{"within a number", 1, 3, "3", ""},
		{"above a number", 100, 4, "3", "4 of 104"},
		{"everything bad is never allowed", 0, 2, "100%", "all 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := ParseBudget(c.budget)
			require.NoError(t, err)
			tray := Tray{Good: c.good}
			for i := range c.bad {
				tray.Add(sample.Faulty(fmt.Sprint("item", i), sample.ReasonBroken, errors.New("crc")))
			}
			err = tray.Check(b)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrTooMany)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "item0: broken image: crc")
		})
	}
}

func TestTheFirstFiveAreNamed(t *testing.T) {
	var tray Tray
	for i := range 7 {
		tray.Add(sample.Faulty(fmt.Sprint("item", i), sample.ReasonBroken, nil))
	}
	require.Contains(t, tray.Summary(), "7 x broken image (item0")
	require.Contains(t, tray.Summary(), "item4; ...)")
	require.NotContains(t, tray.Summary(), "item5")
}

func TestASummarySaysNothingTwice(t *testing.T) {
	var tray Tray
	tray.Add(sample.Faulty("a", sample.ReasonFormat, nil))
	tray.Add(sample.Faulty("b", sample.ReasonFormat, nil))
	require.Equal(t, "2 x unknown image format (a; b)", tray.Summary())
	tray.Add(sample.Faulty("c.tar", sample.ReasonArchive, errors.New("broken archive: invalid header")))
	require.Equal(t, "1 x broken archive, 2 x unknown image format (a: unknown image format; b: unknown image format; c.tar: broken archive: invalid header)", tray.Summary())
}

func TestOnlyFaultsAreLeftOut(t *testing.T) {
	fatal := fmt.Errorf("shard x: %w", sample.Faulty("k", sample.ReasonArchive, nil))
	in := func(yield func(sample.Sample, error) bool) {
		_ = yield(sample.Sample{Key: "a"}, nil) && yield(sample.Sample{}, sample.Faulty("b", sample.ReasonBroken, nil)) &&
			yield(sample.Sample{Key: "c"}, nil) && yield(sample.Sample{}, fatal)
	}
	var tray Tray
	var keys []string
	var last error
	for s, err := range tray.Filter(in) {
		keys, last = append(keys, s.Key), err
	}
	require.Equal(t, []string{"a", "c", ""}, keys)
	require.Equal(t, fatal, last)
	require.Equal(t, []Item{{"b", sample.ReasonBroken}}, tray.Items)
	require.Equal(t, 2, tray.Good)
}
