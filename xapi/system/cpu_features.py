"""Names of processor features, as Linux spells them, and the bits of CPUID that they stand for.

The bits are those of Intel's and AMD's manuals. A name may stand for nothing here: Linux makes up some of its own.
"""

from __future__ import annotations

# One word for each register, from bit 0 up; a hyphen is a bit without a name in Linux.
# The order is that of a Xen feature set, which XenAPI's clients compare: 1.edx, 1.ecx, 80000001.edx, 80000001.ecx,
# d[1].eax, 7.ebx, 7.ecx, 80000007.edx, 80000008.ebx, 7.edx.
_WORDS = (
    "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx"
    " fxsr sse sse2 ss ht tm ia64 pbe",
    "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca"
    " sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor",
    "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
    "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit"
    " wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc"
    " mwaitx - -",
    "xsaveopt xsavec xgetbv1 xsaves xfd - - - - - - - - - - - - - - - - - - - - - - - - - - -",
    "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq"
    " rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw"
    " avx512vl",
    "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg"
    " tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd"
    " sgx_lc -",
    "- - - - - - - hw_pstate nonstop_tsc cpb - aperfmperf - - - - - - - - - - - - - - - - - - - -",
    "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - - - - - - stibp_always_on - - - - - amd_ppin -"
    " virt_ssbd - cppc - - - -",
    "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - tsxldtrk"
    " - pconfig arch_lbr - - amx_bf16 avx512_fp16 amx_tile amx_int8 - - flush_l1d arch_capabilities - -",
)
BITS = {name: (word, bit) for word, names in enumerate(_WORDS) for bit, name in enumerate(names.split()) if name != "-"}
# AMD's 80000001.edx repeats these bits of 1.edx, and feature sets have them in both places.
_REPEATED = 0b0000_0001_1000_0011_1111_0011_1111_1111
_EXTENDED, _BASIC = 2, 0


def feature_string(flags: str) -> str:
    """The feature set for the flags of /proc/cpuinfo: words of eight hexadecimal digits, joined by hyphens.

    Empty if none of the flags is known, as on a machine that is no x86.
    """
    words = [0] * len(_WORDS)
    for flag in flags.split():
        if flag in BITS:
            word, bit = BITS[flag]
            words[word] |= 1 << bit
    if not any(words):
        return ""
    if words[_EXTENDED] & ~(1 << 29 | 1 << 20 | 1 << 11 | 1 << 27 | 1 << 26):  # only AMD's processors have others
        words[_EXTENDED] |= words[_BASIC] & _REPEATED
    return "-".join(f"{word:08x}" for word in words)
