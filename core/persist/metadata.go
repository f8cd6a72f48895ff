package persist

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/semantic-id/semantic-id/core"
)

const (
	metadataName  = "metadata.json"
	codebooksName = "codebooks.npz"
	formatVersion = 1       // the newest we write and read; files of semantic-id 0.2.5 have none
	maxMetadata   = 1 << 20 // bytes
	maxCount      = math.MaxInt32
)

// metadata is metadata.json: the keys of 0.2.5 in its order, then ours.
type metadata struct {
	Type           string            `json:"type"`
	NLevels        int               `json:"n_levels"`
	NClusters      []int             `json:"n_clusters"`
	Metric         string            `json:"metric"`
	Implementation string            `json:"implementation"`
	MaxIter        int               `json:"max_iter"`
	Tol            float64           `json:"tol"`
	RandomState    *int64            `json:"random_state"`
	NInit          *int              `json:"n_init"`
	D              int               `json:"D"`
	FormatVersion  int               `json:"format_version"`
	SettingsSHA256 string            `json:"settings_sha256"`
	SHA256         map[string]string `json:"sha256"`
}

// settingsSum is the SHA-256 of the settings in a form that does not depend on how JSON was laid out: see format.md.
func (m metadata) settingsSum() string {
	var b strings.Builder
	fmt.Fprintf(&b, "type=%s\nn_levels=%d\nn_clusters=%s\n", m.Type, m.NLevels, join(m.NClusters, strconv.Itoa))
	fmt.Fprintf(&b, "metric=%s\nimplementation=%s\nmax_iter=%d\ntol=%s\n", m.Metric, m.Implementation, m.MaxIter, bitsOf(m.Tol))
	fmt.Fprintf(&b, "random_state=%s\nn_init=%s\nD=%d\n", orNull(m.RandomState), orNull(m.NInit), m.D)
	return sha256Hex(b.String())
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func orNull[T int | int64](v *T) string {
	if v == nil {
		return "null"
	}
	return strconv.FormatInt(int64(*v), 10)
}

// fault says what about the settings cannot be, or "".
func (m metadata) fault() string {
	if m.NLevels < 1 || m.NLevels != len(m.NClusters) {
		return fmt.Sprintf("n_levels is %d, n_clusters has %d", m.NLevels, len(m.NClusters))
	}
	for l, k := range m.NClusters {
		if k < 1 || k > maxCount {
			return fmt.Sprintf("n_clusters of level %d is %d, want 1 to %d", l, k, maxCount)
		}
	}
	if m.D < 1 || m.D > maxCount {
		return fmt.Sprintf("D is %d, want 1 to %d", m.D, maxCount)
	}
	if _, err := core.ParseMetric(m.Metric); err != nil {
		return fmt.Sprintf("metric is %.40q, want \"l2\" or \"cosine\"", m.Metric)
	}
	if m.Implementation != "kmeans" && m.Implementation != "constrained" {
		return fmt.Sprintf("implementation is %.40q, want \"kmeans\" or \"constrained\"", m.Implementation)
	}
	if math.IsNaN(m.Tol) || math.IsInf(m.Tol, 0) {
		return fmt.Sprintf("tol is %g", m.Tol)
	}
	return ""
}

// keys are those of metadata.json.
type keys map[string]json.RawMessage // not a struct: that would take "Type" for "type"

func (k keys) has(key string) bool { return k[key] != nil && string(k[key]) != "null" }

func (k keys) get(key string, to any) error {
	text, ok := k[key]
	if !ok {
		return fmt.Errorf("%w: no key %q", core.ErrFormat, key)
	}
	if err := json.Unmarshal(text, to); err != nil || string(text) == "null" {
		return fmt.Errorf("%w: %q is %.40s", core.ErrFormat, key, text)
	}
	return nil
}

// optional is get, but leaves to as it is where there is no such key.
func (k keys) optional(key string, to any) error {
	if k[key] == nil {
		return nil
	}
	return k.get(key, to)
}

// parseKeys reads metadata.json as far as every type of model has it: wanted is the type, and version the
// "format_version", 0 if there is none.
func parseKeys(raw []byte, wanted string) (k keys, version int, err error) {
	fail := func(format string, args ...any) (keys, int, error) {
		return nil, 0, fmt.Errorf("%w: %s", core.ErrFormat, fmt.Sprintf(format, args...))
	}
	if len(raw) > maxMetadata {
		return fail("more than %d bytes", maxMetadata)
	}
	if !utf8.Valid(raw) {
		return fail("not UTF-8")
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return fail("not a JSON object: %v", err)
	}
	var is string
	if k.get("type", &is) != nil || is != wanted {
		found := "no type"
		if k["type"] != nil {
			found = fmt.Sprintf("%.40s", k["type"])
		}
		return nil, 0, fmt.Errorf("%w: %s, want %q", core.ErrType, found, wanted)
	}
	if err := k.optional("format_version", &version); err != nil {
		return nil, 0, err
	}
	if version > formatVersion {
		return nil, 0, fmt.Errorf("%w: format_version %d, this release reads up to %d; upgrade semantic-id", core.ErrVersion, version, formatVersion)
	}
	if k["format_version"] != nil && version < 1 {
		return fail("format_version is %d", version)
	}
	return k, version, nil
}

// sums reads the checksums of a model that is not of semantic-id 0.2.5, which has none. file is the one it must name.
func (k keys) sums(version int, file string, settings func() string) (settingsSum string, sums map[string]string, err error) {
	if version == 0 && k["sha256"] == nil {
		return "", nil, nil
	}
	if err := k.get("settings_sha256", &settingsSum); err != nil {
		return "", nil, err
	}
	if err := k.get("sha256", &sums); err != nil {
		return "", nil, err
	}
	if settingsSum != settings() {
		return "", nil, fmt.Errorf("%w: its settings do not fit its \"settings_sha256\"; if you edited it on purpose, "+
			"remove \"format_version\", \"settings_sha256\" and \"sha256\" from it", core.ErrFormat)
	}
	if sums[file] == "" {
		return "", nil, fmt.Errorf("%w: \"sha256\" does not name %s", core.ErrFormat, file)
	}
	return settingsSum, sums, nil
}

// parseMetadata reads and checks metadata.json. Keys it does not know are skipped.
func parseMetadata(raw []byte) (metadata, error) {
	m := metadata{Type: "RQKMeans", Implementation: "kmeans"} // as before 0.2.5 had that key
	k, version, err := parseKeys(raw, m.Type)
	if err != nil {
		return metadata{}, err
	}
	m.FormatVersion = version
	fail := func(format string, args ...any) (metadata, error) {
		return metadata{}, fmt.Errorf("%w: %s", core.ErrFormat, fmt.Sprintf(format, args...))
	}
	if k["D"] != nil && !k.has("D") {
		return fail("\"D\" is null: the model was saved before it was fitted")
	}
	for _, err := range []error{
		k.get("n_levels", &m.NLevels), k.get("n_clusters", &m.NClusters), k.get("metric", &m.Metric), k.optional("implementation", &m.Implementation),
		k.get("max_iter", &m.MaxIter), k.get("tol", &m.Tol), k.get("D", &m.D),
	} {
		if err != nil {
			return metadata{}, err
		}
	}
	if k["random_state"] == nil {
		return fail("no key \"random_state\"")
	}
	if k.has("random_state") {
		if err := k.get("random_state", &m.RandomState); err != nil {
			return metadata{}, err
		}
	}
	if k.has("n_init") && string(k["n_init"]) != `"auto"` { // which 0.2.5 hands on to scikit-learn
		if err := k.get("n_init", &m.NInit); err != nil {
			return metadata{}, err
		}
	}
	if fault := m.fault(); fault != "" {
		return fail("%s", fault)
	}
	m.SettingsSHA256, m.SHA256, err = k.sums(version, codebooksName, m.settingsSum)
	if err != nil {
		return metadata{}, err
	}
	return m, nil
}
