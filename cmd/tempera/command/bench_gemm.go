package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tempera/training/bench"
)

// benchGemmCommand times matrix products. Its flags and keys are those of bench/peers/numpy_gemm.py.
func benchGemmCommand(a *app) *cobra.Command {
	o := bench.GemmDefaults()
	c := &cobra.Command{
		Use:   "gemm",
		Short: "Time matrix products on random data, beside the peak of the caches",
		Example: "  tempera bench gemm --sizes 512,1024,2048 --variant nn,nt,tn --threads 1 --json\n" +
			"  tempera bench gemm --m 1 --n 2048 --k 512 --packed --threads 1 --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return wrong(err)
			}
			r, err := bench.Gemm(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "peak in cache %.1f GFLOP/s on %s\n", r.PeakGFLOPS, r.Device)
				for _, p := range r.Products {
					fmt.Fprintf(w, "%5d x %5d x %5d %s  %9.3f ms  %6.1f GFLOP/s (%3.0f%%)  %5.1f GB/s\n", p.M, p.N, p.K, p.Variant, p.MS, p.GFLOPS, 100*p.Share, p.GBPerS)
				}
			})
		},
	}
	o.Bind(c.Flags())
	return c
}
