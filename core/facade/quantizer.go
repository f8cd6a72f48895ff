package facade

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// QuantizerNew makes a residual quantizer of copies of codebooks and writes its handle (int64) to handleOut. ksAddr
// holds levels int64, the centroids of each level; booksAddr holds levels uint64, the addresses of the codebooks, level
// l being float32 (ks[l], dim). metric is 0 for l2, 1 for cosine.
func QuantizerNew(levels, dim int64, ksAddr, booksAddr uint64, metric int64, handleOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		books, err := codebooks(levels, dim, ksAddr, booksAddr)
		if err != nil {
			return err
		}
		for l, b := range books {
			books[l].Data = append([]float32(nil), b.Data...)
		}
		m, err := rqkmeans.New(books, core.Metric(metric))
		if err != nil {
			return err
		}
		put(handleOut, quantizers.add(m))
		return nil
	})
}

const maxLevels = 4096

// codebooks are the matrices at levels addresses, not copied.
func codebooks(levels, dim int64, ksAddr, booksAddr uint64) ([]core.Matrix, error) {
	if levels < 1 || levels > maxLevels {
		return nil, fmt.Errorf("%w: %d levels, want 1 to %d", core.ErrParam, levels, maxLevels)
	}
	ks, addrs := slice[int64](ksAddr, levels), slice[uint64](booksAddr, levels)
	books := make([]core.Matrix, levels)
	for l := range books {
		var err error
		if books[l], err = matrix(addrs[l], ks[l], dim); err != nil {
			return nil, fmt.Errorf("codebook %d: %w", l, err)
		}
	}
	return books, nil
}

// QuantizerShape writes, each as int64, the number of levels, the number of columns, the centroids of each level (ksOut,
// room for the levels, or 0) and the metric.
func QuantizerShape(handle int64, levelsOut, dimOut, ksOut, metricOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		ks := m.Clusters()
		put(levelsOut, int64(len(ks)))
		put(dimOut, int64(m.Dim()))
		put(metricOut, int64(m.Metric()))
		putClusters(ksOut, ks)
		return nil
	})
}

// QuantizerCodebook copies the codebook of a level, float32 (k, dim), to outAddr.
func QuantizerCodebook(handle, level int64, outAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		if level < 0 || level >= int64(len(m.Books())) {
			return fmt.Errorf("%w: level %d, want 0 to %d", core.ErrParam, level, len(m.Books())-1)
		}
		b := m.Books()[level]
		out, err := matrix(outAddr, int64(b.Rows), int64(b.Cols))
		if err != nil {
			return err
		}
		copy(out.Data, b.Data)
		return nil
	})
}

// QuantizerEncode writes the codes, int32 (rows, levels), of x, float32 (rows, dim), keeping the beam best prefixes at
// each level; 1 takes the nearest centroid at each. batch bounds the rows in work on a thread (0: a good number) and
// changes no code.
func QuantizerEncode(handle int64, xAddr uint64, rows, dim, beam, batch int64, codesAddr, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		dst, err := codes(codesAddr, rows, int64(len(m.Books())))
		if err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, dst.Levels)
		control.set(ControlTotal, x.Rows)
		return m.EncodeBeam(ctx, x, dst, int(beam), int(batch), func(done int) { control.set(ControlDone, done) })
	})
}

// QuantizerEncodeBalanced writes codes of x as rqkmeans.EncodeBalanced does: those of a level are used equally often, to
// within one, at the least error. recompute is as in RQKMeansFit. On success it writes the certificate of each level, float64
// (levels, 3), unless certificatesAddr is 0.
func QuantizerEncodeBalanced(handle int64, xAddr uint64, rows, dim, recompute int64, codesAddr, certificatesAddr, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		levels := int64(len(m.Books()))
		dst, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, int(levels))
		proofs, err := m.EncodeBalanced(ctx, x, dst, recompute != 0, func(done int) { control.set(ControlDone, done) })
		for l, c := range proofs {
			putCertificate(certificatesAddr, levels, l, c)
		}
		return err
	})
}

// QuantizerDecode writes the rows, float32 (rows, dim), that codes, int32 (rows, levels), stand for.
func QuantizerDecode(handle int64, codesAddr uint64, rows, levels int64, outAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		out, err := matrix(outAddr, rows, int64(m.Dim()))
		if err != nil {
			return err
		}
		return m.Decode(c, out)
	})
}

// QuantizerSave writes the model as the directory at the UTF-8 path, whole or not at all.
func QuantizerSave(handle int64, pathAddr uint64, pathLen int64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		return m.Save(string(slice[byte](pathAddr, pathLen)))
	})
}

// QuantizerLoad reads the model directory at the UTF-8 path and writes its handle (int64) to handleOut.
func QuantizerLoad(pathAddr uint64, pathLen int64, handleOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := rqkmeans.Load(string(slice[byte](pathAddr, pathLen)))
		if err != nil {
			return err
		}
		put(handleOut, quantizers.add(m))
		return nil
	})
}
