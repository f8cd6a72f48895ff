/* The part of CPython's C API that the generated native.c uses, declared after its documentation.
 *
 * All of it belongs to the stable ABI of Python 3.10 (PEP 384), which every later CPython keeps. So one extension serves
 * them all, and building it needs no Python headers, which many systems keep in a package of their own. */
#ifndef SEMANTIC_ID_PYTHON_H
#define SEMANTIC_ID_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PY_VERSION_HEX 0x030a0000

typedef intptr_t Py_ssize_t;
typedef struct _object PyObject;
typedef struct _typeobject PyTypeObject;
typedef struct _ts PyThreadState;
typedef void PyAsyncMethods; /* named by pybindgen, never used */

struct _object {
    Py_ssize_t ob_refcnt;
    PyTypeObject *ob_type;
};

typedef PyObject *(*PyCFunction)(PyObject *self, PyObject *args);

typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

#define METH_VARARGS 0x0001
#define METH_KEYWORDS 0x0002
#define METH_NOARGS 0x0004

typedef struct {
    PyObject ob_base;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
} PyModuleDef_Base;

typedef struct PyModuleDef {
    PyModuleDef_Base m_base;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots;
    void *m_traverse;
    void *m_clear;
    void *m_free;
} PyModuleDef;

#define PyModuleDef_HEAD_INIT {{1, NULL}, NULL, 0, NULL}
#define PyModule_Create(def) PyModule_Create2(def, 3) /* 3: PYTHON_ABI_VERSION */

PyObject *PyModule_Create2(PyModuleDef *def, int abi_version);
int PyArg_ParseTupleAndKeywords(PyObject *args, PyObject *kwargs, const char *format, char **keywords, ...);
PyObject *Py_BuildValue(const char *format, ...);
int PyObject_IsTrue(PyObject *o);
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *state);
void Py_IncRef(PyObject *o);
extern PyObject _Py_NoneStruct;

#define Py_None (&_Py_NoneStruct)
#define Py_INCREF(o) Py_IncRef(o)

#endif
