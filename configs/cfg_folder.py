"""Your own data: DIR/images, DIR/masks and DIR/classes.txt, evaluated by

    python eval.py --config configs/cfg_folder.py --data-root DIR

A mask has the name of its image, one channel (PNG or TIFF, up to 16 bits), and the value k where the class of line
k + 1 of classes.txt is; 255 is not scored. More names of a class stand in its line, after semicolons. Other folders, a
list, other marks: change them here, or with --cfg-options, such as test_dataloader.dataset.reduce_zero_label=True.
"""

_base_ = "./base_config.py"

model = dict(name_path="{{$DATA_ROOT:data/folder}}/classes.txt", prob_thd=0.0)

test_dataloader = dict(
    dataset=dict(
        type="FolderDataset",
        data_root="{{$DATA_ROOT:data/folder}}",
        data_prefix=dict(img_path="images", seg_map_path="masks"),
        classes="classes.txt",
        ignore_index=None,  # 255; a value that is set here is not asked for where the labels leave it open
        reduce_zero_label=None,  # False: 0 is the first class; True: 0 is not labelled, and the first class is 1
    )
)
