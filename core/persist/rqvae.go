package persist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/semantic-id/semantic-id/core"
)

const (
	safetensorsName = "model.safetensors"
	torchName       = "model.pt" // of semantic-id 0.2.5
)

// RQVAE is what the files of an RQ-VAE hold. The settings have the names and meanings of the Python class's arguments;
// those of the fit are kept, but codes depend only on the shape and on Tensors, whose names are PyTorch's.
type RQVAE struct {
	InDim           int
	NumEmbList      []int // vectors of each codebook, coarse level first
	EDim            int
	Layers          []int // widths between InDim and EDim
	DropoutProb     float64
	BN              bool
	LossType        string // "mse" or "l1"
	QuantLossWeight float64
	Beta            float64
	KMeansInit      bool
	KMeansIters     int
	SKEpsilons      []float64 // nil: none
	SKIters         int
	LossReduction   string // "mean" or "sum"; 0.2.5 knows the first
	RandomState     *int64 // nil: not a number that can be kept

	Tensors []Tensor
}

// rqvaeMetadata is metadata.json: the keys of 0.2.5 in its order, then ours.
type rqvaeMetadata struct {
	InDim           int               `json:"in_dim"`
	NumEmbList      []int             `json:"num_emb_list"`
	EDim            int               `json:"e_dim"`
	Layers          []int             `json:"layers"`
	DropoutProb     float64           `json:"dropout_prob"`
	BN              bool              `json:"bn"`
	LossType        string            `json:"loss_type"`
	QuantLossWeight float64           `json:"quant_loss_weight"`
	Beta            float64           `json:"beta"`
	KMeansInit      bool              `json:"kmeans_init"`
	KMeansIters     int               `json:"kmeans_iters"`
	SKEpsilons      []float64         `json:"sk_epsilons"`
	SKIters         int               `json:"sk_iters"`
	Type            string            `json:"type"`
	LossReduction   string            `json:"loss_reduction"`
	RandomState     *int64            `json:"random_state"`
	FormatVersion   int               `json:"format_version"`
	SettingsSHA256  string            `json:"settings_sha256"`
	SHA256          map[string]string `json:"sha256"`
}

func (m RQVAE) metadata() rqvaeMetadata {
	return rqvaeMetadata{
		InDim: m.InDim, NumEmbList: m.NumEmbList, EDim: m.EDim, Layers: append([]int{}, m.Layers...), DropoutProb: m.DropoutProb, BN: m.BN,
		LossType: m.LossType, QuantLossWeight: m.QuantLossWeight, Beta: m.Beta, KMeansInit: m.KMeansInit, KMeansIters: m.KMeansIters,
		SKEpsilons: m.SKEpsilons, SKIters: m.SKIters, Type: "RQVAE", LossReduction: m.LossReduction, RandomState: m.RandomState,
		FormatVersion: formatVersion,
	}
}

// settingsSum is the SHA-256 of the settings, as that of an RQKMeans: see format.md.
func (m rqvaeMetadata) settingsSum() string {
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + "=" + value + "\n") }
	line("type", m.Type)
	line("in_dim", strconv.Itoa(m.InDim))
	line("num_emb_list", join(m.NumEmbList, strconv.Itoa))
	line("e_dim", strconv.Itoa(m.EDim))
	line("layers", join(m.Layers, strconv.Itoa))
	line("dropout_prob", bitsOf(m.DropoutProb))
	line("bn", strconv.FormatBool(m.BN))
	line("loss_type", m.LossType)
	line("quant_loss_weight", bitsOf(m.QuantLossWeight))
	line("beta", bitsOf(m.Beta))
	line("kmeans_init", strconv.FormatBool(m.KMeansInit))
	line("kmeans_iters", strconv.Itoa(m.KMeansIters))
	epsilons := "null"
	if m.SKEpsilons != nil {
		epsilons = join(m.SKEpsilons, bitsOf)
	}
	line("sk_epsilons", epsilons)
	line("sk_iters", strconv.Itoa(m.SKIters))
	line("loss_reduction", m.LossReduction)
	line("random_state", orNull(m.RandomState))
	return sha256Hex(b.String())
}

func bitsOf(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }

func join[T any](list []T, text func(T) string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = text(v)
	}
	return strings.Join(words, ",")
}

// fault says what about the settings cannot be, or "".
func (m rqvaeMetadata) fault() string {
	for _, c := range []struct {
		key    string
		values []int
	}{{"in_dim", []int{m.InDim}}, {"num_emb_list", m.NumEmbList}, {"e_dim", []int{m.EDim}}, {"layers", m.Layers}} {
		for _, v := range c.values {
			if v < 1 || v > maxCount {
				return fmt.Sprintf("%s has %d, want 1 to %d", c.key, v, maxCount)
			}
		}
	}
	if len(m.NumEmbList) == 0 {
		return "num_emb_list is empty, want one number a level"
	}
	if m.SKEpsilons != nil && len(m.SKEpsilons) != len(m.NumEmbList) {
		return fmt.Sprintf("sk_epsilons has %d, num_emb_list %d", len(m.SKEpsilons), len(m.NumEmbList))
	}
	if m.LossType != "mse" && m.LossType != "l1" {
		return fmt.Sprintf("loss_type is %.40q, want \"mse\" or \"l1\"", m.LossType)
	}
	if m.LossReduction != "mean" && m.LossReduction != "sum" {
		return fmt.Sprintf("loss_reduction is %.40q, want \"mean\" or \"sum\"", m.LossReduction)
	}
	for _, v := range append([]float64{m.DropoutProb, m.QuantLossWeight, m.Beta}, m.SKEpsilons...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprintf("a number is %g", v)
		}
	}
	return ""
}

// SaveRQVAE writes m as the directory dir, or makes dir hold m instead of the model it holds, by ReplaceDir.
func SaveRQVAE(dir string, m RQVAE) error {
	meta := m.metadata()
	if fault := meta.fault(); fault != "" {
		return fmt.Errorf("saving %s: %w: %s", dir, core.ErrParam, fault)
	}
	if err := checkFinite(m.Tensors); err != nil {
		return fmt.Errorf("saving %s: %w", dir, err)
	}
	meta.SettingsSHA256 = meta.settingsSum()
	write := func(w io.Writer) error { return WriteSafetensors(w, m.Tensors, map[string]string{"format": "pt"}) }
	return saveModel(osDisk{}, dir, safetensorsName, write, func(sums map[string]string) any {
		meta.SHA256 = sums
		return meta
	})
}

func checkFinite(tensors []Tensor) error {
	for _, t := range tensors {
		for i, v := range t.Data {
			if v != v || math.IsInf(float64(v), 0) {
				return fmt.Errorf("tensor %q: %w: value %d is %v", t.Name, core.ErrNotFinite, i, v)
			}
		}
	}
	return nil
}

// LoadRQVAE reads the directory dir, written by SaveRQVAE, by Python or by semantic-id 0.2.5. While others save there it
// returns one of the models they saved, never a mix. Whether the tensors are those of the settings is for the caller to see.
func LoadRQVAE(dir string) (RQVAE, error) { return loadModel(dir, loadRQVAE) }

func loadRQVAE(dir string, raw []byte) (RQVAE, error) {
	meta, err := parseRQVAE(raw)
	if err != nil {
		return RQVAE{}, fmt.Errorf("%s: %w", metadataName, err)
	}
	m := RQVAE{
		InDim: meta.InDim, NumEmbList: meta.NumEmbList, EDim: meta.EDim, Layers: meta.Layers, DropoutProb: meta.DropoutProb, BN: meta.BN,
		LossType: meta.LossType, QuantLossWeight: meta.QuantLossWeight, Beta: meta.Beta, KMeansInit: meta.KMeansInit, KMeansIters: meta.KMeansIters,
		SKEpsilons: meta.SKEpsilons, SKIters: meta.SKIters, LossReduction: meta.LossReduction, RandomState: meta.RandomState,
	}
	name := safetensorsName
	if meta.SHA256 == nil { // then what 0.2.5 wrote counts, though an older model of ours may still be beside it
		f, _, err := openFile(dir, torchName)
		if err == nil {
			f.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			name = torchName
		}
	}
	f, length, err := openChecked(dir, name, meta.SHA256)
	if err != nil {
		return RQVAE{}, err
	}
	defer f.Close()
	if name == torchName {
		m.Tensors, err = ReadTorch(f, length)
	} else {
		m.Tensors, _, err = ReadSafetensors(f, length)
	}
	if err == nil {
		if e := checkFinite(m.Tensors); e != nil {
			err = fmt.Errorf("%w: %v", core.ErrFormat, e)
		}
	}
	if err != nil {
		return RQVAE{}, fmt.Errorf("%s: %w; copy the whole directory again, or save the model again", name, err)
	}
	return m, nil
}

// parseRQVAE reads and checks metadata.json. Keys it does not know are skipped.
func parseRQVAE(raw []byte) (rqvaeMetadata, error) {
	m := rqvaeMetadata{Type: "RQVAE", LossReduction: "mean"}
	k, version, err := parseKeys(raw, m.Type)
	if err != nil {
		return rqvaeMetadata{}, err
	}
	m.FormatVersion = version
	errs := []error{
		k.get("in_dim", &m.InDim), k.get("num_emb_list", &m.NumEmbList), k.get("e_dim", &m.EDim), k.get("layers", &m.Layers),
		k.get("dropout_prob", &m.DropoutProb), k.get("bn", &m.BN), k.get("loss_type", &m.LossType),
		k.get("quant_loss_weight", &m.QuantLossWeight), k.get("beta", &m.Beta), k.get("kmeans_init", &m.KMeansInit),
		k.get("kmeans_iters", &m.KMeansIters), k.get("sk_iters", &m.SKIters), k.optional("loss_reduction", &m.LossReduction),
	}
	if k["sk_epsilons"] == nil || k.has("sk_epsilons") {
		errs = append(errs, k.get("sk_epsilons", &m.SKEpsilons))
	}
	if k.has("random_state") {
		errs = append(errs, k.get("random_state", &m.RandomState))
	}
	if err := errors.Join(errs...); err != nil {
		return rqvaeMetadata{}, err
	}
	if fault := m.fault(); fault != "" {
		return rqvaeMetadata{}, fmt.Errorf("%w: %s", core.ErrFormat, fault)
	}
	m.SettingsSHA256, m.SHA256, err = k.sums(version, safetensorsName, m.settingsSum)
	return m, err
}
