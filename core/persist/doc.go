// Package persist keeps models in directories: metadata.json beside one file of arrays. SaveRQKMeans, LoadRQKMeans,
// SaveRQVAE and LoadRQVAE read and write what the Python classes do, semantic-id 0.2.5's files included;
// python/semantic_id/_files.py and _rqvae_files.py are the same in Python. ReplaceDir makes every save all or nothing. format.md gives every byte.
//
// Reading trusts nothing: lengths are checked before memory is allocated, checksums before contents are believed.
// Errors wrap core.ErrFormat (truncated, altered or foreign), core.ErrType or core.ErrVersion; those of the file system
// (no such file, no space, no permission) stay what they are, with the path and what to do about it.
package persist
