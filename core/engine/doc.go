// Package engine gives items ids for good: embeddings become codes, codes become text, and a store makes the text unique
// and remembers which item it is of. The Python class SemanticIdEngine does the same over the same files and databases.
package engine
