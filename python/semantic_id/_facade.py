"""The functions of the extension that `_native` calls, as a type; tests compare it with the extension.

core/facade says what each does. Addresses are of memory that stays alive for the call. Version returns a length and
NumThreads a number; any other int that comes back is an error kind, 0 for success.
"""

from typing import Protocol


class Facade(Protocol):
    def Version(self, bufAddr: int, bufLen: int) -> int: ...

    def SetNumThreads(self, n: int) -> None: ...

    def NumThreads(self) -> int: ...

    def QuantizerNew(
        self,
        levels: int,
        dim: int,
        ksAddr: int,
        booksAddr: int,
        metric: int,
        handleOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def QuantizerFree(self, handle: int) -> None: ...

    def QuantizerEncode(
        self,
        handle: int,
        xAddr: int,
        rows: int,
        dim: int,
        beam: int,
        batch: int,
        codesAddr: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def QuantizerLatents(
        self, handle: int, xAddr: int, rows: int, dim: int, outAddr: int, errAddr: int, errLen: int
    ) -> int: ...

    def QuantizerEncodeBalanced(
        self,
        handle: int,
        xAddr: int,
        rows: int,
        dim: int,
        recompute: int,
        codesAddr: int,
        certificatesAddr: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def QuantizerDecode(
        self, handle: int, codesAddr: int, rows: int, levels: int, outAddr: int, errAddr: int, errLen: int
    ) -> int: ...

    def RQKMeansFit(
        self,
        xAddr: int,
        rows: int,
        dim: int,
        weightsAddr: int,
        levels: int,
        ksAddr: int,
        metric: int,
        maxIter: int,
        tol: float,
        restarts: int,
        seed: int,
        recompute: int,
        balanced: int,
        booksAddr: int,
        codesAddr: int,
        inertiaAddr: int,
        itersAddr: int,
        flagsAddr: int,
        certificatesAddr: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQKMeansForesee(
        self,
        rows: int,
        dim: int,
        levels: int,
        ksAddr: int,
        recompute: int,
        bytesOut: int,
        waysOut: int,
        workOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQKMeansRefine(
        self,
        handle: int,
        xAddr: int,
        rows: int,
        dim: int,
        weightsAddr: int,
        beam: int,
        maxIter: int,
        tol: float,
        seed: int,
        booksAddr: int,
        inertiaAddr: int,
        errorsAddr: int,
        errorsLenOut: int,
        flagsOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQVAEFit(
        self,
        xAddr: int,
        rows: int,
        dim: int,
        settingsAddr: int,
        settingsLen: int,
        seed: int,
        booksAddr: int,
        weightsOut: int,
        weightsLen: int,
        historyOut: int,
        epochsOut: int,
        keptOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQVAENew(
        self,
        settingsAddr: int,
        settingsLen: int,
        weightsAddr: int,
        weightsLen: int,
        handleOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQVAEFree(self, handle: int) -> None: ...

    def RQVAEEncode(
        self,
        handle: int,
        xAddr: int,
        rows: int,
        dim: int,
        batch: int,
        codesAddr: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQVAELatents(
        self,
        handle: int,
        xAddr: int,
        rows: int,
        dim: int,
        outAddr: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def RQVAEDecode(
        self,
        handle: int,
        codesAddr: int,
        rows: int,
        levels: int,
        outAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def FormatCodes(
        self,
        codesAddr: int,
        rows: int,
        levels: int,
        style: int,
        sepAddr: int,
        sepLen: int,
        end: int,
        outAddr: int,
        outLen: int,
        neededOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsCheckFinite(
        self, xAddr: int, rows: int, dim: int, controlAddr: int, errAddr: int, errLen: int
    ) -> int: ...

    def MetricsRank(
        self,
        xAddr: int,
        rows: int,
        dim: int,
        codesAddr: int,
        levels: int,
        queriesAddr: int,
        queries: int,
        k: int,
        distance: int,
        out: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsNeighbors(
        self,
        xAddr: int,
        rows: int,
        dim: int,
        queriesAddr: int,
        queries: int,
        k: int,
        idsOut: int,
        distsOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsCorrelation(
        self,
        xAddr: int,
        rows: int,
        dim: int,
        codesAddr: int,
        levels: int,
        aAddr: int,
        bAddr: int,
        pairs: int,
        distance: int,
        out: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsSumSquares(
        self,
        xAddr: int,
        yAddr: int,
        rows: int,
        dim: int,
        metric: int,
        out: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsUse(
        self,
        codesAddr: int,
        rows: int,
        levels: int,
        clustersAddr: int,
        idsOut: int,
        levelsOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsSimilar(
        self,
        codesAddr: int,
        rows: int,
        levels: int,
        queryAddr: int,
        skip: int,
        k: int,
        distance: int,
        idsOut: int,
        distsOut: int,
        countOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsLabels(
        self,
        codesAddr: int,
        rows: int,
        levels: int,
        labelsAddr: int,
        purityOut: int,
        nmiOut: int,
        rowsOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsPairs(
        self,
        codesAddr: int,
        rows: int,
        levels: int,
        aAddr: int,
        bAddr: int,
        pairs: int,
        sharedOut: int,
        chanceOut: int,
        aucOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsAgree(
        self,
        aAddr: int,
        aLevels: int,
        bAddr: int,
        bLevels: int,
        rows: int,
        movedOut: int,
        nmiOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def MetricsShift(
        self,
        newAddr: int,
        newRows: int,
        oldAddr: int,
        oldRows: int,
        levels: int,
        clustersAddr: int,
        psiOut: int,
        utilizationOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def SinkhornSolve(
        self,
        costsAddr: int,
        rows: int,
        cols: int,
        aAddr: int,
        bAddr: int,
        epsilon: float,
        maxIter: int,
        tol: float,
        planOut: int,
        fOut: int,
        gOut: int,
        errorOut: int,
        itersOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def SinkhornAssign(
        self,
        costsAddr: int,
        rows: int,
        cols: int,
        epsilon: float,
        maxIter: int,
        labelsOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def TextTake(
        self,
        handle: int,
        bufAddr: int,
        bufLen: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreMemory(
        self,
        contentsAddr: int,
        contentsLen: int,
        handleOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreSQLite(
        self,
        pathAddr: int,
        pathLen: int,
        timeout: float,
        handleOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StorePostgres(
        self,
        dsnAddr: int,
        dsnLen: int,
        timeout: float,
        handleOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreFree(self, handle: int) -> None: ...

    def StoreNextSuffixes(
        self,
        handle: int,
        keysAddr: int,
        keysLen: int,
        count: int,
        suffixesOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreAssign(
        self,
        handle: int,
        idsAddr: int,
        idsLen: int,
        count: int,
        sepAddr: int,
        sepLen: int,
        besideAddr: int,
        besideLen: int,
        beside: int,
        codesAddr: int,
        levels: int,
        versionAddr: int,
        versionLen: int,
        modelAddr: int,
        modelLen: int,
        mostAddr: int,
        changedOut: int,
        otherOut: int,
        textOut: int,
        textLenOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreHolders(
        self,
        handle: int,
        idsAddr: int,
        idsLen: int,
        count: int,
        holdersOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreKnows(
        self,
        handle: int,
        versionAddr: int,
        versionLen: int,
        itemsAddr: int,
        itemsLen: int,
        count: int,
        knownOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def ResolveCapacity(
        self,
        rowsAddr: int,
        rows: int,
        dim: int,
        levels: int,
        ksAddr: int,
        booksAddr: int,
        codesAddr: int,
        heldAddr: int,
        holdersAddr: int,
        held: int,
        most: int,
        pairs: int,
        addedOut: int,
        guessOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def ResolveSinkhorn(
        self,
        rowsAddr: int,
        rows: int,
        dim: int,
        levels: int,
        ksAddr: int,
        booksAddr: int,
        codesAddr: int,
        heldAddr: int,
        holdersAddr: int,
        held: int,
        epsilon: float,
        iters: int,
        rounds: int,
        addedOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreLookup(
        self,
        handle: int,
        idsAddr: int,
        idsLen: int,
        count: int,
        textOut: int,
        textLenOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreForget(
        self,
        handle: int,
        versionAddr: int,
        versionLen: int,
        itemsAddr: int,
        itemsLen: int,
        count: int,
        release: int,
        knownOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StorePage(
        self,
        handle: int,
        versionAddr: int,
        versionLen: int,
        prefixAddr: int,
        levels: int,
        pathAddr: int,
        pathLen: int,
        keyAddr: int,
        keyLen: int,
        limit: int,
        countOut: int,
        textOut: int,
        textLenOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreImport(
        self,
        handle: int,
        versionAddr: int,
        versionLen: int,
        keysAddr: int,
        keysLen: int,
        idsAddr: int,
        idsLen: int,
        pathsAddr: int,
        pathsLen: int,
        count: int,
        addedOut: int,
        controlAddr: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreModel(
        self,
        handle: int,
        versionAddr: int,
        versionLen: int,
        textOut: int,
        textLenOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreSnapshot(
        self,
        handle: int,
        textOut: int,
        textLenOut: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...

    def StoreBackup(
        self,
        handle: int,
        pathAddr: int,
        pathLen: int,
        errAddr: int,
        errLen: int,
    ) -> int: ...
