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
	fmt.Fprintf(&b, "type=%s\nn_levels=%d\nn_clusters=", m.Type, m.NLevels)
	for l, k := range m.NClusters {
		if l > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(k))
	}
	fmt.Fprintf(&b, "\nmetric=%s\nimplementation=%s\nmax_iter=%d\ntol=%016x\n", m.Metric, m.Implementation, m.MaxIter, math.Float64bits(m.Tol))
	fmt.Fprintf(&b, "random_state=%s\nn_init=%s\nD=%d\n", orNull(m.RandomState), orNull(m.NInit), m.D)
	sum := sha256.Sum256([]byte(b.String()))
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

// parseMetadata reads and checks metadata.json. Keys it does not know are skipped.
func parseMetadata(raw []byte) (metadata, error) {
	var m metadata
	fail := func(format string, args ...any) (metadata, error) {
		return metadata{}, fmt.Errorf("%w: %s", core.ErrFormat, fmt.Sprintf(format, args...))
	}
	if len(raw) > maxMetadata {
		return fail("more than %d bytes", maxMetadata)
	}
	if !utf8.Valid(raw) {
		return fail("not UTF-8")
	}
	var keys map[string]json.RawMessage // not a struct: that would take "Type" for "type"
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fail("not a JSON object: %v", err)
	}
	get := func(key string, to any) error {
		text, ok := keys[key]
		if !ok {
			return fmt.Errorf("%w: no key %q", core.ErrFormat, key)
		}
		if err := json.Unmarshal(text, to); err != nil || string(text) == "null" {
			return fmt.Errorf("%w: %q is %.40s", core.ErrFormat, key, text)
		}
		return nil
	}
	has := func(key string) bool { return keys[key] != nil && string(keys[key]) != "null" }

	if get("type", &m.Type) != nil || m.Type != "RQKMeans" {
		found := "no type"
		if keys["type"] != nil {
			found = fmt.Sprintf("%.40s", keys["type"])
		}
		return metadata{}, fmt.Errorf("%w: %s, want \"RQKMeans\"", core.ErrType, found)
	}
	if keys["format_version"] != nil {
		if err := get("format_version", &m.FormatVersion); err != nil {
			return metadata{}, err
		}
		if m.FormatVersion > formatVersion {
			return metadata{}, fmt.Errorf("%w: format_version %d, this release reads up to %d; upgrade semantic-id", core.ErrVersion, m.FormatVersion, formatVersion)
		}
		if m.FormatVersion < 1 {
			return fail("format_version is %d", m.FormatVersion)
		}
	}
	if keys["D"] != nil && !has("D") {
		return fail("\"D\" is null: the model was saved before it was fitted")
	}
	m.Implementation = "kmeans" // as before 0.2.5 had the key
	optional := func(key string, to any) error {
		if keys[key] == nil {
			return nil
		}
		return get(key, to)
	}
	for _, err := range []error{
		get("n_levels", &m.NLevels), get("n_clusters", &m.NClusters), get("metric", &m.Metric), optional("implementation", &m.Implementation),
		get("max_iter", &m.MaxIter), get("tol", &m.Tol), get("D", &m.D),
	} {
		if err != nil {
			return metadata{}, err
		}
	}
	if keys["random_state"] == nil {
		return fail("no key \"random_state\"")
	}
	if has("random_state") {
		if err := get("random_state", &m.RandomState); err != nil {
			return metadata{}, err
		}
	}
	if has("n_init") && string(keys["n_init"]) != `"auto"` { // which 0.2.5 hands on to scikit-learn
		if err := get("n_init", &m.NInit); err != nil {
			return metadata{}, err
		}
	}
	if fault := m.fault(); fault != "" {
		return fail("%s", fault)
	}
	if m.FormatVersion == 0 && keys["sha256"] == nil {
		return m, nil // of semantic-id 0.2.5
	}
	if err := get("settings_sha256", &m.SettingsSHA256); err != nil {
		return metadata{}, err
	}
	if err := get("sha256", &m.SHA256); err != nil {
		return metadata{}, err
	}
	if m.SettingsSHA256 != m.settingsSum() {
		return fail("its settings do not fit its \"settings_sha256\"; if you edited it on purpose, remove \"format_version\", \"settings_sha256\" and \"sha256\" from it")
	}
	if m.SHA256[codebooksName] == "" {
		return fail("\"sha256\" does not name %s", codebooksName)
	}
	return m, nil
}
