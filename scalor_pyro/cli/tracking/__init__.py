"""The work of ``scalor track``, behind its options: what is to be done for a video (:mod:`jobs`), doing it
(:mod:`following`), and the figures that are printed and kept (:mod:`figures`)."""
